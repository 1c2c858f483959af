"""pybench as a process of its own whose rounds are made up: what it does with its streams is real.

    python tests/support/faked.py ARGUMENTS OF PYBENCH

A real round may fail on a machine that has no time for it; what is asked here does not turn on it.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from pybench.cli import main, run
from tests.support.fakerounds import FakeRounds

if __name__ == "__main__":
    run.run = partial(run.run, measure=FakeRounds())
    sys.exit(main())
