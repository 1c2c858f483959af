"""What a race prints: who is ahead, by how much, and what may be said of it.

As JSON:

    {"schema": 1, "metric": NAME, "precision": SHARE, "margin": SHARE,
     "counts": [{"conns": N, "msize": BYTES, "rounds": R, "base": NAME, "sentence": TEXT,
                 "notes": [...],
                 "contenders": [{"name", "rounds", "failed", "ratio", "ci95_low", "ci95_high",
                                 "verdict", "reason", "more_rounds", "groups", "value", "mps",
                                 "cpu_us_per_msg", "idle_kib_per_conn", "busy_kib_per_conn",
                                 "turns", "empty_turns", "starved_turns",
                                 "warnings", "errors"}]}]}

The best contender comes first. `ratio` is to the base, null for the base itself and for one that
was in no round with it; an end of the interval is null where it is open. `groups` are numbers from
0: two contenders that share one are not surely different. `value` is the metric's own figure. Of
several machines of a cluster a contender has `"machines": {NAME: RATIO}` besides, its ratio on
each, as `machines.py` has them; `more_rounds` are machines then, and figures of several kinds of
machines are null.
As CSV: one line per contender, number of connections and size of a message.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TextIO

from pybench.analysis.model import BYTES_PER_MB
from pybench.analysis.race import Contest, Runner, Standing, Standings, judge
from pybench.analysis.verdict import Metric, interval_words, remedy_words, share_words, words
from pybench.report.document import (
    Block,
    Document,
    Format,
    Grid,
    Remarks,
    Sentences,
    write_document,
)
from pybench.report.machines import each_machine, machine_blocks
from pybench.report.text import (
    MISSING,
    duration_text,
    letters,
    megabytes_text,
    plain_text,
    rate_text,
)
from pybench.spec import axes
from pybench.units import count_label

SCHEMA: Final = 1
DIGITS: Final = 3
_TIMES: Final = ("p50", "p99", "due99")
_COLUMNS: Final = (
    *("conns", "place", "contender", "rounds", "failed", "ratio", "ci95_low", "ci95_high"),
    *("verdict", "groups", "value", "mps", "cpu_us_per_msg", "turns", "empty_turns"),
    *("starved_turns", "warnings", "errors", "msize", "idle_kib_per_conn"),
    "busy_kib_per_conn",
)


def write_ranking(contests: Sequence[Contest], fmt: Format, file: TextIO) -> None:
    """Write what `ranking_document` says of the races."""
    write_document(ranking_document(contests), fmt, file)


def ranking_document(contests: Sequence[Contest]) -> Document:
    """Races, one after another; of one, the object that the module describes, of several
    `{"schema": 1, "races": [one such object each]}`."""
    found = [(one, judge(one.asked, one.results)) for one in contests]
    records = [_record(one, standings) for one, standings in found]
    every = [standings for _, of in found for standings in of]
    return Document(
        blocks=[block for standings in every for block in _blocks(standings)],
        columns=_COLUMNS,
        lines=[line for standings in every for line in _lines(standings)],
        record={"schema": SCHEMA, **records[0]}
        if len(records) == 1
        else {"schema": SCHEMA, "races": records},
    )


def with_races(document: Document, contests: Sequence[Contest]) -> Document:
    """A document of tables with races behind them: as JSON under its key `races`, a list.

    As CSV it has none of them: a file of races alone has their lines.
    """
    races = ranking_document(contests)
    records = races.record.get("races") or [
        {key: value for key, value in races.record.items() if key != "schema"}
    ]
    return replace(
        document,
        blocks=[*document.blocks, *races.blocks],
        record={**document.record, "races": records},
    )


# ---- for people ----


def _blocks(standings: Standings) -> list[Block]:
    remarks = list(notes(standings))
    blocks: list[Block] = [grid_of(standings), Sentences([sentence(standings)])]
    of_machines = [found] if (found := standings.by_machine) is not None else []
    return [*blocks, *([Remarks(remarks)] if remarks else []), *machine_blocks(of_machines)]


def grid_of(standings: Standings) -> Grid:
    """The ranking as a table."""
    metric, base = standings.metric, standings.base
    own = [] if metric.name in ("mps", "cpu_us_per_msg") else [metric.name]
    return Grid(
        title=title(standings),
        heads=[
            *("Contender", "Tied", f"To {base}", "95% interval", "Verdict"),
            *(
                *own,
                "Messages/s",
                *(["MB/s"] if standings.sized else []),
                "CPU us/msg",
                *(["KiB/conn"] if _has_memory(standings) else []),
                "Rounds",
            ),
        ],
        rows=[_line(standings, one) for one in standings.each],
        main=True,
    )


def title(standings: Standings) -> str:
    """What stands over the ranking."""
    some = "1 round" if standings.rounds == 1 else f"{standings.rounds} rounds"
    better = "least first" if standings.metric.lower_is_better else "most first"
    where = place_words(standings)
    return f"Race {where}: {standings.metric.what}, {better}, {some} of fresh workers"


def place_words(standings: Standings) -> str:
    """`at 1k connections`; of several sizes also which, ` with 16k-byte messages`; where all are
    at one unusual point of the axes of a cell, ` (TLS 1.3)`."""
    plural = "" if standings.conns == 1 else "s"
    size = f" with {count_label(standings.msize)}-byte messages" if standings.sized else ""
    results = [r for one in standings.each for r in one.runner.results]
    common = axes.unusual(results[0]) if len(set(map(axes.key, results))) == 1 else {}
    told = ", ".join(axes.AXES[name].title(value) for name, value in common.items())
    over = f" ({told})" if told else ""
    return f"at {count_label(standings.conns)} connection{plural}{over}{size}"


def _line(standings: Standings, one: Standing) -> list[str]:
    runner, metric = one.runner, standings.metric
    own = [] if metric.name in ("mps", "cpu_us_per_msg") else [_figure_text(runner, metric)]
    mps, cpu = runner.mps, runner.cpu_us_per_msg
    return [
        runner.label,
        "".join(letters(group) for group in one.groups) or MISSING,
        *_ratio_texts(standings, one),
        *own,
        MISSING if mps is None else rate_text(mps),
        *(_megabytes(standings, mps) if standings.sized else []),
        MISSING if cpu is None else plain_text(cpu),
        *(_memory(runner) if _has_memory(standings) else []),
        str(runner.rounds),
    ]


def _megabytes(standings: Standings, mps: float | None) -> list[str]:
    """What messages/s are in MB/s: the sizes of one race can be compared by that."""
    return [MISSING if mps is None else megabytes_text(mps * standings.msize / BYTES_PER_MB)]


def _has_memory(standings: Standings) -> bool:
    """Whether it was read: files from before have none."""
    return any(s.runner.kib_per_conn("busy") is not None for s in standings.each)


def _memory(runner: Runner) -> list[str]:
    kib = runner.kib_per_conn("busy")
    return [MISSING if kib is None else plain_text(round(kib, 1))]


def _ratio_texts(standings: Standings, one: Standing) -> list[str]:
    if one.runner.label == standings.base:
        return ["1", MISSING, MISSING]
    if one.estimate is None or one.verdict is None:
        return [MISSING, MISSING, "not measured"]
    return [
        f"{one.estimate.value:.{DIGITS}f}",
        interval_words(one.verdict.estimate, DIGITS),
        verdict_text(one),
    ]


def verdict_text(one: Standing) -> str:
    """The verdict in a word or two: `faster`, `equal within 3%`."""
    if one.verdict is None:
        return "not measured"
    if one.verdict.kind == "equal":
        return f"equal within {share_words(one.verdict.margin)}"
    return one.verdict.kind


def _figure_text(runner: Runner, metric: Metric) -> str:
    value = runner.figure(metric)
    if value is None:
        return MISSING
    return duration_text(value) if metric.name in _TIMES else plain_text(value)


def sentence(standings: Standings) -> str:
    """What the race found, in one sentence."""
    measured = [s for s in standings.each if s.runner.good]
    where, metric = place_words(standings), standings.metric
    if len(measured) < 2:
        only = f", but for {measured[0].runner.label}" if measured else ""
        return f"Nobody was measured {where}{only}: there is no race."
    if len(measured) == 2:
        (pair,) = [s for s in measured if s.runner.label != standings.base]
        if pair.verdict is not None:
            return words(
                pair.verdict, pair.runner.label, standings.base, metric=metric, where=where
            )
    best = [s.runner.label for s in measured if 0 in s.groups]
    if len(best) == len(measured):
        return f"{_against_base(standings)} is sure among all {len(best)} contenders."
    lead = f"{_listed(best)} {'is' if len(best) == 1 else 'are'} ahead {where}"
    last = measured[-1]
    share = math.exp(_log(last) - _log(measured[0]))
    of = measured[0].runner.label
    return f"{lead}; {last.runner.label} comes last, with {share:.2g} times {of}'s {metric.what}."


def _against_base(standings: Standings) -> str:
    """That nothing more is known than what the pairs with the first contender say, which are fewer
    than all pairs, so that it takes less to be sure of one."""
    where, what = place_words(standings), standings.metric.what
    sure = [
        f"{one.runner.label} is {one.verdict.kind} than {standings.base}"
        for one in standings.pairs
        if one.verdict is not None and one.verdict.differs
    ]
    if not sure:
        return f"No difference in {what} {where}"
    return f"{', '.join(sure)} {where}; no other difference in {what}"


def _log(standing: Standing) -> float:
    return 0.0 if standing.estimate is None else standing.estimate.log


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]} (not surely different)"


def notes(standings: Standings) -> Iterator[str]:
    """What to keep in mind about the ranking, a line each."""
    ties = any(len(s.groups) != 1 or s.groups[0] != i for i, s in enumerate(standings.each))
    if ties and len(standings.each) > 2:
        yield "Tied: who shares a letter is not surely different."
    for one in standings.pairs if len(standings.each) > 2 else ():  # of a pair the sentence says it
        if one.verdict is not None and one.verdict.kind == "undecided":
            why = [one.verdict.reason, remedy_words(one.verdict)]
            told = "; ".join(text for text in why if text)
            told = told.replace("NEW", one.runner.label).replace("BASE", standings.base)
            yield f"{one.runner.label} is undecided{f': {told}' if told else ''}"
    for one in standings.each:
        yield from _troubles(one.runner)
    if len(standings.kinds) > 1:
        yield f"Machines are of {len(standings.kinds)} kinds, whose figures are not mixed"
    if standings.bound:
        codes = ", ".join(standings.bound)
        yield f"All are stamped {codes}: their ratios are nearer to 1 than they would be without"
    yield from _windows(standings)


def _troubles(runner: Runner) -> Iterator[str]:
    """What went wrong with a contender, or looks wrong."""
    if runner.failed:
        some = f"{runner.failed} of {len(runner.results)} rounds failed"
        yield f"{runner.label}: {some}: {'; '.join(runner.errors)}"
    turns = len(runner.turns)
    if runner.starved:
        most = max(t.unanswered for t in runner.turns)
        yield (
            f"{runner.label} starves connections: at the end of {runner.starved} of {turns} turns"
            f" up to {most} of them had no answer"
        )
    if runner.empty:
        yield f"{runner.label}: {runner.empty} of {turns} windows passed without an echo"
    for code in runner.stamps:
        stamp = next(w for r in runner.good for w in r.warnings if w.code == code)
        remedy = f" -> {stamp.remedy}" if stamp.remedy else ""
        yield f"{runner.label} is stamped {code}: {stamp.text}{remedy}"


def _windows(standings: Standings) -> Iterator[str]:
    """How it was measured: windows and how much of the time they took."""
    turns = [r.turns for s in standings.each for r in s.runner.good if r.turns is not None]
    if not turns:
        return
    lengths = sorted({t.window_us for t in turns})
    low, high = duration_text(1000 * lengths[0]), duration_text(1000 * lengths[-1])
    span = low if low == high else f"{low} to {high}"
    count = sum(len(t.each) for t in turns)
    over = "over rounds" if standings.by_machine is None else "over rounds, then over machines"
    yield f"{count} turns with windows of {span}; ratios are geometric means {over}"


# ---- for programs ----


def _record(contest: Contest, standings: Sequence[Standings]) -> dict[str, Any]:
    asked = contest.asked
    return {
        "metric": asked.metric,
        "precision": asked.precision,
        "margin": asked.margin,
        "counts": [
            {
                "conns": one.conns,
                "msize": one.msize,
                "rounds": one.rounds,
                "base": one.base,
                "sentence": sentence(one),
                "notes": list(notes(one)),
                "contenders": [_contender(one, standing) for standing in one.each],
            }
            for one in standings
        ],
    }


def _contender(standings: Standings, one: Standing) -> dict[str, Any]:
    runner, verdict = one.runner, one.verdict
    found = None if verdict is None else verdict.estimate
    machines = {"machines": each_machine(one.machines)} if one.machines else {}
    return machines | {
        "name": runner.label,
        "rounds": runner.rounds,
        "failed": runner.failed,
        "ratio": None if one.estimate is None else one.estimate.value,
        "ci95_low": found.low if found is not None and found.low > 0 else None,
        "ci95_high": found.high if found is not None and math.isfinite(found.high) else None,
        "verdict": None if verdict is None else verdict.kind,
        "reason": "" if verdict is None else verdict.reason,
        "more_rounds": None if verdict is None else verdict.more_rounds,
        "groups": list(one.groups),
        "value": runner.figure(standings.metric),
        "mps": runner.mps,
        "cpu_us_per_msg": runner.cpu_us_per_msg,
        "idle_kib_per_conn": runner.kib_per_conn("idle"),
        "busy_kib_per_conn": runner.kib_per_conn("busy"),
        "turns": len(runner.turns),
        "empty_turns": runner.empty,
        "starved_turns": runner.starved,
        "warnings": list(runner.stamps),
        "errors": list(runner.errors),
    }


def _lines(standings: Standings) -> Iterator[list[object]]:
    for place, one in enumerate(standings.each, 1):
        c = _contender(standings, one)
        yield [
            *(standings.conns, place, c["name"], c["rounds"], c["failed"], c["ratio"]),
            *(c["ci95_low"], c["ci95_high"], c["verdict"], " ".join(map(str, c["groups"]))),
            *(c["value"], c["mps"], c["cpu_us_per_msg"], c["turns"], c["empty_turns"]),
            *(c["starved_turns"], " ".join(c["warnings"]), "; ".join(c["errors"])),
            *(standings.msize, c["idle_kib_per_conn"], c["busy_kib_per_conn"]),
        ]
