"""Campaigns and races on a cluster: their rounds on many machines, by Dask's `distributed`.

`campaign.py` and `race.py` say what there is to measure and write results as they come;
`dispatch.py` gives it to whoever is there; `pool.py` alone knows Dask; `unit.py` and `heatunit.py`
are what travels. On a machine `remote.py` is what its Dask worker runs: a fresh process of
`measure.py`, which measures one round as a driver does, or of `heat.py`, which races one, while no
other measures there.
"""
