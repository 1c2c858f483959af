"""Inside the measured process: a Python row (`python -m pybench.worker`), or the supervisor of a
program in any language (`python -m pybench.worker.supervisor`).

In: a SPEC in JSON from `driver/workerprocess.py`. Out: the events of `protocol.py`. Nothing is
imported here, and little elsewhere: what the worker carries, every row pays for.
"""
