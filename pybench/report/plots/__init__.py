"""Pictures as files: SVG and PNG by matplotlib.

In: groups. Out: the paths written.
"""
