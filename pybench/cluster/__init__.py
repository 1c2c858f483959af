"""Campaigns on a cluster: rounds of one campaign on many machines, by Dask's `distributed`.

`campaign.py` decides who measures what and writes results as they come; `pool.py` alone knows
Dask; `unit.py` is what travels. On a machine `remote.py` is what its Dask worker runs: a fresh
process of `measure.py`, which measures one round as a driver does, while no other measures there.
"""
