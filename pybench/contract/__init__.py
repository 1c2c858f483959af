"""The contract of a row as checks: what `testing.check_backend` and `pybench check` run.

In: a row. Out: findings, each with what was promised, what was seen and what to do.
"""
