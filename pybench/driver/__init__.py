"""Runs what is to be measured, and is never in the data path: it starts, watches and ends.

In: a `Campaign` and what its file already holds. Out: a `Result` a round. `campaign` is many
rounds, `round` is one: read its `run` first. `control` alone knows the wire format.
"""
