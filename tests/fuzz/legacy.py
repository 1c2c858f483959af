"""Result files of 2016: YAML, of which each record is one or a named error."""

import json
import math

import atheris
import yaml

with atheris.instrument_imports(include=["pybench"]):
    import pybench.cli.report  # noqa: F401
    from pybench.analysis.legacy import read_legacy
from pybench.errors import ResultFormatError
from tests.fuzz import reading
from tests.support import DATA

GOOD = yaml.safe_load((DATA / "raw_2016_small.yaml").read_text())
SCRATCH = reading.Scratch("legacy")


def target(data: bytes) -> None:
    """One file."""
    path = SCRATCH.holding(reading.text_of(data, GOOD, json.dumps))
    rounds = reading.expect(ResultFormatError, lambda: read_legacy(path), str(path))
    if rounds is None:
        return
    for one in rounds:
        figures = (one.runtime_s, one.ctime_s, one.utime_s, one.stime_s)
        assert all(math.isfinite(figure) for figure in figures), one
        assert one.messages >= 0 and one.conns >= 1, one
    reading.check_report(path, data)


if __name__ == "__main__":
    reading.fuzz(target)
