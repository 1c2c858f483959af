"""Results files: every line is a record or a named error, and what was read can be reported."""

import json

import atheris

with atheris.instrument_imports(include=["pybench"]):
    import pybench.analysis.load
    import pybench.cli.report
    import pybench.report.tables  # noqa: F401
    from pybench.result.file import read_contents
from pybench.errors import ResultFormatError
from tests.fuzz import reading
from tests.support import DATA

GOOD = [
    json.loads(line)
    for name in ("results_small.jsonl", "v0.1/rate.jsonl")
    for line in (DATA / name).read_text().splitlines()[:4]
]
SCRATCH = reading.Scratch("results")


def target(data: bytes) -> None:
    """One file."""
    path = SCRATCH.holding(reading.text_of(data, GOOD, reading.as_lines))
    contents = reading.expect(ResultFormatError, lambda: read_contents(path), str(path))
    if contents is None:
        return
    for error in contents.errors:
        reading.check_clean(str(error), f"{path}:")
    reading.check_report(path, data)


if __name__ == "__main__":
    reading.fuzz(target)
