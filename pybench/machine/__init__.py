"""What this machine is, what it allows, and what else it does while a test runs.

In: files of the kernel. Out: facts for the plan, for every result and for the stamps. Nothing here
starts anything, and nothing is imported here.
"""
