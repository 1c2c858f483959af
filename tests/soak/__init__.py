"""Hundreds of sessions in which something is killed, stopped, cut off or refused.

`python -m tests.soak --seconds 30` or `make soak`; see `__main__.py`.
"""
