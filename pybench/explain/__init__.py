"""Where the time goes: `--explain`. Rounds of their own under observation, so that none that is
measured is disturbed.

    run.py -> for each cell: syscalls.py (perf stat or strace), stacks.py (perf record)
                  `- observe.py: one round with an observer; tools.py: the observers
               layers.py: whose time a sample is -> flame.py, bars.py; explanation.py: the JSON file
"""

from pybench.explain.explanation import Explained, Explanation, read_explanation
from pybench.explain.run import explain

__all__ = ["Explained", "Explanation", "explain", "read_explanation"]
