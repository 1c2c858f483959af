"""The page: one HTML file that needs no network.

In: groups. Out: the file.
"""
