"""The public names; `__init__.py` imports none of them before it is asked for one."""

from pybench.api import Comparisons as Comparisons
from pybench.api import Event as Event
from pybench.api import Explained as Explained
from pybench.api import Interrupted as Interrupted
from pybench.api import LeftOut as LeftOut
from pybench.api import Looked as Looked
from pybench.api import Measured as Measured
from pybench.api import Note as Note
from pybench.api import OnProgress as OnProgress
from pybench.api import Picture as Picture
from pybench.api import Progress as Progress
from pybench.api import RaceResult as RaceResult
from pybench.api import RaceRoundFinished as RaceRoundFinished
from pybench.api import RaceRoundStarted as RaceRoundStarted
from pybench.api import RaceVerdict as RaceVerdict
from pybench.api import Results as Results
from pybench.api import RoundFinished as RoundFinished
from pybench.api import RoundStarted as RoundStarted
from pybench.api import compare as compare
from pybench.api import explain as explain
from pybench.api import load as load
from pybench.api import measure as measure
from pybench.api import race as race
from pybench.api import run as run

__version__: str
