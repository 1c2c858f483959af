"""What the facts say: stamps on a round, rounds gathered into cells and groups, ratios of cells.

In: results, ours and those of 2016 (`load`, `legacy`). Out: figures and sentences' worth of them;
nothing here prints or reads a clock.
"""
