"""Inside the measured process: a Python row (`__main__.py`), or the supervisor of a program in any
language (`supervisor.py`).

In: a SPEC in JSON from `driver/workerprocess.py`. Out: the events of `protocol.py`. Nothing is
imported here, and little elsewhere: what the worker carries, every row pays for.
"""
