"""The contract of a row as checks: what `testing.check_backend` and `pybench check` run.

In: a row (`plan`). Out: findings (`promises`), each with what was promised, what was seen and what
to do. Read `scenarios` first; a `session` is one worker of it, and its `peers`.
"""
