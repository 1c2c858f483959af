"""What an invocation of a campaign is to do: one that is described, here or in a campaign file, or
what a results file lacks.

The command line and the library read the same options by it, each under the names it gives them.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pybench.driver import families
from pybench.driver.campaign import load_unfinished
from pybench.errors import ResultFormatError, UsageError
from pybench.result import Result
from pybench.spec import OPTIONS, Campaign
from pybench.spec.file import read_campaign_file
from pybench.spec.race import RACES

OF_FILES: Final = ("campaign", "resume")
"""Where options may come from, beside an invocation itself."""
BESIDE_RESUME: Final = ("resume", "format", "cluster")
"""What goes with a results file that is resumed; it has all else."""


@dataclass(frozen=True, slots=True)
class Order:
    """A campaign, the results it already has, and where new ones go.

    races_ns: how long families race afterwards, or None.
    errors: lines of the resumed file that cannot be read.
    """

    campaign: Campaign
    done: tuple[Result, ...] = ()
    output: Path | None = None
    resumed: bool = False
    races_ns: int | None = None
    errors: tuple[ResultFormatError, ...] = ()


def read_order(options: Mapping[str, Any], names: Callable[[str], str]) -> Order:
    """The order that options describe.

    options: some of OPTIONS, `races`, OF_FILES, `output`, and others, which are not looked at but
    beside `resume`.  names: option -> what an error message calls it.  Raises UsageError.
    """
    if "resume" in options:
        return _resumed(options, names)
    from_file: dict[str, Any] = {}
    file = options.get("campaign")
    if file is not None:
        from_file = read_campaign_file(str(file), names("campaign"))

    def called(key: str) -> str:
        return f"{file}: {key}" if key in from_file and key not in options else names(key)

    given = {key: value for key, value in options.items() if key in OPTIONS}
    asked = Campaign.from_options(from_file | given, called)
    races_ns = RACES.value(from_file | dict(options), called(RACES.name))
    if races_ns is not None:
        families.check(asked, called(RACES.name))
    output = Path(options["output"]) if "output" in options else None
    return Order(asked, output=output, races_ns=races_ns)


def _resumed(options: Mapping[str, Any], names: Callable[[str], str]) -> Order:
    if extra := sorted(options.keys() - set(BESIDE_RESUME)):
        raise UsageError(
            f"{names('resume')} takes everything from its file: without {names(extra[0])}"
        )
    path = Path(options["resume"])
    errors: list[ResultFormatError] = []
    campaign, done = load_unfinished(path, errors.append, names("resume"))
    if "cluster" in options:  # its scheduler may be elsewhere today
        scheduler = OPTIONS["cluster"].value(options, names("cluster"))
        campaign = dataclasses.replace(campaign, cluster=scheduler)
    return Order(campaign, tuple(done), path, resumed=True, errors=tuple(errors))
