"""The whole suite, as `make test` runs it.

    python -m tests [--slowest N]

First the tests that may run beside each other, two at a time; then those that measure something
which others would disturb, each alone (the marker `alone`). What is said at the end is of both.
A part of the suite is run with `python -m pytest` and the names of files or tests, as usual.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

PARTS = {
    "beside each other": ("-m", "parallel", "-n", "2", "--dist", "worksteal"),
    "alone": ("-m", "not parallel"),
}
"""What of the suite a run of pytest takes, and how."""

FAILED, SKIPPED, PASSED = "failed", "skipped", "passed"
OUTCOMES = {"failure": FAILED, "error": FAILED, "skipped": SKIPPED}


@dataclass(frozen=True, slots=True)
class Case:
    """One test that was run. reason: why it was skipped."""

    name: str
    outcome: str
    seconds: float
    reason: str = ""


def main() -> int:
    """Run both parts, say what came of them, and return 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="show that many")
    slowest = parser.parse_args().slowest
    began = time.monotonic()
    cases: list[Case] = []
    broken = []
    for part, options in PARTS.items():
        print(f"\n{part}: pytest {' '.join(options)}", flush=True)
        status, found = run_part(options)
        cases += found
        if status not in (0, 1) or not found:
            broken.append(f"the part that runs {part} ended with status {status}")
    print()
    print("\n".join(summary(cases, slowest, time.monotonic() - began)))
    for line in broken:
        print(line)
    print(tally(cases))
    return int(bool(broken) or any(case.outcome == FAILED for case in cases))


def run_part(options: Iterable[str]) -> tuple[int, list[Case]]:
    """pytest's exit status, and the tests that it ran."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "junit.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", f"--junit-xml={record}"]
        done = subprocess.run([*command, *options], cwd=ROOT, check=False)
        return done.returncode, read_cases(record) if record.exists() else []


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


def summary(cases: Iterable[Case], slowest: int, took_s: float) -> list[str]:
    """What took longest, what was skipped and why, what failed."""
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
