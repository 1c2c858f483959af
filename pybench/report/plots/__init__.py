"""The report's pictures as SVG and PNG, drawn by matplotlib on white.

In: `charts`. Out: the paths written. Every picture names its setting, labels rows directly at the
lines' ends, and draws stamped cells with a hollow marker. More rows than one chart can show get a
panel per family, with the fastest C row in each to compare with. Nothing here opens a window or
touches matplotlib's global state.
"""
