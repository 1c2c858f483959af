"""The whole suite, as `make test` runs it.

    python -m tests [--slowest N]

First the tests that may run beside each other, three at a time on any machine, as many of them
mostly wait; then those that measure something which others would disturb, each alone (the marker
`alone`); at the end what failed, once more and alone. A test has failed when it fails then too; one
that passes then is named: something is not as sure as it should be, in the test or in what it
tests. What is said at the end is of all parts.
A part of the suite is run with `python -m pytest` and the names of files or tests, as usual.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import ROOT, files_alone

BESIDE, ALONE = "beside each other", "alone"
PARTS = {
    BESIDE: ("-m", "parallel", "-n", "3", "--dist", "worksteal"),
    ALONE: ("-m", "not parallel", *files_alone()),
}
"""What of the suite a run of pytest takes, and how. Files without a test that runs alone are not
collected for it: that takes longer than some of those tests.
"""

AGAIN = ("--last-failed", "--last-failed-no-failures", "none")
MOST_AGAIN = 10
"""More than that fail for a reason that a second try does not change, and takes long to show."""

SECOND = {
    BESIDE: "failed beside others, passed alone",
    ALONE: "failed, passed at a second try",
}
"""What is said of a test that failed in that part and passed then."""

FAILED, SKIPPED, PASSED = "failed", "skipped", "passed"
OUTCOMES = {"failure": FAILED, "error": FAILED, "skipped": SKIPPED}


@dataclass(frozen=True, slots=True)
class Case:
    """One test that was run.

    reason: why it was skipped.  failed_first: the part, a key of PARTS, in which it failed before
    it passed.
    """

    name: str
    outcome: str
    seconds: float
    reason: str = ""
    failed_first: str = ""


def main() -> int:
    """Run the suite, say what came of it, and return 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="show that many")
    slowest = parser.parse_args().slowest
    began = time.monotonic()
    cases, broken = run_suite(ROOT, PARTS)
    print()
    print("\n".join(summary(cases, slowest, time.monotonic() - began)))
    for line in broken:
        print(line)
    print(tally(cases))
    return int(bool(broken) or any(case.outcome == FAILED for case in cases))


def run_suite(folder: Path, parts: Mapping[str, Sequence[str]]) -> tuple[list[Case], list[str]]:
    """Every test of the parts as it ended, and a line for each part that did not end as it should.

    folder: where pytest runs.  parts: as PARTS.
    """
    cases: list[Case] = []
    broken = []
    part_of: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as cache:
        for part, options in parts.items():
            began = time.monotonic()
            status, found = run_part(folder, Path(cache), part, options)
            print(f"{part}: {time.monotonic() - began:.0f} s")
            cases += found
            part_of |= {case.name: part for case in found}
            if status not in (0, 1) or not found:
                broken.append(f"the part that runs {part} ended with status {status}")
        if 0 < sum(case.outcome == FAILED for case in cases) <= MOST_AGAIN:
            _, again = run_part(folder, Path(cache), "failed, once more", AGAIN)
            cases = tried_again(cases, again, part_of)
    return cases, broken


def run_part(
    folder: Path, cache: Path, part: str, options: Sequence[str]
) -> tuple[int, list[Case]]:
    """pytest's exit status, and the tests that it ran.

    cache: where pytest notes what failed, of all parts, for AGAIN.
    """
    print(f"\n{part}: pytest {' '.join(options)}", flush=True)
    record = cache / "junit.xml"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", f"--junit-xml={record}"]
    command += ["-o", f"cache_dir={cache}"]
    done = subprocess.run([*command, *options], cwd=folder, check=False)
    return done.returncode, read_cases(record) if record.exists() else []


def tried_again(
    cases: Iterable[Case], again: Iterable[Case], part_of: Mapping[str, str]
) -> list[Case]:
    """The cases; one that failed and then passed has passed, and says where it failed first."""
    passed = {case.name for case in again if case.outcome == PASSED}
    return [
        replace(case, outcome=PASSED, failed_first=part_of[case.name])
        if case.outcome == FAILED and case.name in passed
        else case
        for case in cases
    ]


def read_cases(record: Path) -> list[Case]:
    """The tests in pytest's record (JUnit), each once: one that fails twice has failed."""
    found: dict[str, Case] = {}
    for element in ET.parse(record).iter("testcase"):
        name = f"{element.get('classname', '')}::{element.get('name', '')}"
        outcome, reason = PASSED, ""
        for child in element:
            if child.tag in OUTCOMES and outcome != FAILED:
                outcome, reason = OUTCOMES[child.tag], _reason(child)
        seconds = float(element.get("time", "0"))
        if name in found and found[name].outcome == FAILED:
            outcome, reason = FAILED, ""
        found[name] = Case(name, outcome, seconds, reason)
    return list(found.values())


def _reason(skipped: ET.Element) -> str:
    """Why a test was skipped; of a whole file the reason is in the text: a tuple, written out."""
    message = skipped.get("message", "")
    if message != "collection skipped":
        return message
    return (skipped.text or "").partition("Skipped: ")[2].rstrip("\"')")


def summary(cases: Sequence[Case], slowest: int, took_s: float) -> list[str]:
    """What took longest, what was skipped and why, what failed, at first or in the end."""
    lines = []
    if slowest:
        lines.append(f"the {slowest} slowest tests:")
        ordered = sorted(cases, key=lambda case: -case.seconds)
        lines += [f"{case.seconds:7.1f} s  {case.name}" for case in ordered[:slowest]]
    reasons: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.outcome == SKIPPED:
            reasons[case.reason].append(case.name.partition("::")[0])
    if reasons:
        lines.append("skipped, and why:")
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(names):7}    {reason} ({', '.join(sorted(set(names)))})")
    lines += [f"{SECOND[case.failed_first]}: {case.name}" for case in cases if case.failed_first]
    lines += [f"FAILED {case.name}" for case in cases if case.outcome == FAILED]
    lines.append(f"{took_s:.0f} s in all")
    return lines


def tally(cases: Iterable[Case]) -> str:
    """`N passed, M failed, K skipped`."""
    outcomes = [case.outcome for case in cases]
    return ", ".join(f"{outcomes.count(one)} {one}" for one in (PASSED, FAILED, SKIPPED))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # pytest has said it
        sys.exit(130)
