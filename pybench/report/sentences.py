"""The results in sentences, with intervals: what a reader takes away who looks at nothing else."""

from collections.abc import Mapping, Sequence

from pybench.analysis.compare import compare_cells
from pybench.analysis.model import Group, kept_rate
from pybench.analysis.verdict import interval_words, share_words
from pybench.backends.plugins import PROGRAM_FAMILY
from pybench.report.style import MANY
from pybench.report.text import duration_text, plain_text, rate_text, ratio_text
from pybench.units import count_label


def summary_sentences(group: Group) -> list[str]:
    """The fastest Python row against asyncio's like and against C; stamps; CPU per message.

    Of an open loop: each row's knee, together when they are many, and what a message costs at the
    highest rate that several keep.
    At the largest connection count that has most of the rows, and at the smallest one when they
    are ten times apart or more. Empty when there is nothing to compare.
    """
    if group.open_loop:
        return _open_loop_sentences(group)
    counts = [c for c in group.counts if len(_rows_at(group, c)) > 1]
    if not counts:
        return []
    most = max(len(_rows_at(group, c)) for c in counts)
    usual = [c for c in counts if len(_rows_at(group, c)) >= 0.8 * most]
    chosen = [usual[-1], usual[0]] if usual[-1] >= 10 * usual[0] else [usual[-1]]
    sentences = [s for count in chosen if (s := _speed_sentence(group, count))]
    sentences.insert(1, _stamp_sentence(group, chosen))
    sentences.append(_cpu_sentence(group, chosen[0]))
    return [sentence for sentence in sentences if sentence]


def _open_loop_sentences(group: Group) -> list[str]:
    knees = {row: kept_rate(group, row) for row in group.rows}
    if len(knees) > MANY:
        sentences = _knees_sentences(knees)
    else:
        sentences = [_knee_sentence(group, row, knee) for row, knee in knees.items()]
    return [s for s in [*sentences, _equal_rate_sentence(group, knees)] if s]


def _knees_sentences(knees: Mapping[str, int | None]) -> list[str]:
    """How many rows keep the highest rate that any keeps, then all rows by the rate they keep."""
    rates = sorted({knee for knee in knees.values() if knee is not None}, reverse=True)
    by_rate = {rate: [row for row in knees if knees[row] == rate] for rate in rates}
    parts = [f"{rate_text(rate)} messages/s by {', '.join(by_rate[rate])}" for rate in rates]
    failing = [row for row, knee in knees.items() if knee is None]
    if failing:
        parts.append(f"none of the rates by {', '.join(failing)}")
    listed = f"The highest rates kept: {'; '.join(parts)}."
    if not rates:
        return [listed]
    best = by_rate[rates[0]]
    who = f"{best[0]} keeps" if len(best) == 1 else f"{len(best)} of {len(knees)} rows keep"
    return [f"{who} up to {rate_text(rates[0])} messages/s, the most of all.", listed]


def _knee_sentence(group: Group, row: str, knee: int | None) -> str:
    if knee is None:
        return f"{row} keeps none of the rates." if group.rows_with("mps") else ""
    text = f"{row} keeps up to {rate_text(knee)} messages/s"
    latency = group.summary(row, knee, "due99_ns")
    if latency is not None:
        text += f", 99% of them within {duration_text(latency.median)} of their due time there"
    above = [c for c in group.counts if c > knee and group.has(row, c, "mps")]
    return text + (f"; {rate_text(above[0])} is too much." if above else ".")


def _equal_rate_sentence(group: Group, knees: Mapping[str, int | None]) -> str:
    """CPU per message at the highest rate that was measured of several rows and kept by them."""
    for rate in reversed(group.counts):
        costs = [
            (row, cost.mean)
            for row, knee in knees.items()
            if knee is not None
            and rate <= knee
            and (cost := group.summary(row, rate, "cpu_us_per_msg")) is not None
        ]
        if len(costs) > 1:
            costs.sort(key=lambda item: item[1])
            parts = [f"{plain_text(us)} us in {row}" for row, us in costs]
            text = f"{', '.join(parts[:-1])} and {parts[-1]}"
            if len(costs) > MANY // 2:
                text = f"{parts[0]} to {parts[-1]} (the least and the most of {len(costs)} rows)"
            return f"A message costs the worker {text} of CPU {group.at(rate)} each."
    return ""


def _rows_at(group: Group, count: int) -> list[str]:
    return [row for row in group.rows if group.has(row, count, "mps")]


def _speed(group: Group, row: str, count: int) -> float:
    summary = group.summary(row, count, "mps")
    return summary.mean if summary is not None else 0.0


def _champion_and_base(group: Group, count: int) -> tuple[str, str] | None:
    """The fastest Python row, and what to hold it against: asyncio's way of the same API."""
    others = ("C", PROGRAM_FAMILY)
    rows = [row for row in _rows_at(group, count) if group.families[row] not in others]
    if len(rows) < 2:
        return None
    champion = max(rows, key=lambda row: _speed(group, row, count))
    suffix = champion.partition("_")[2]
    wishes = [f"asyncio_{suffix}", "asyncio_proto", "asyncio"]
    slowest = min(rows, key=lambda row: _speed(group, row, count))
    return champion, next((w for w in wishes if w in rows and w != champion), slowest)


def _speed_sentence(group: Group, count: int) -> str:
    pair = _champion_and_base(group, count)
    if pair is None:
        return ""
    champion, base = pair
    first = _times(group, base, champion, count)
    where = f"at {count_label(count)} connections"
    text = f"{champion} serves {first[0]} {base} {where}{first[1]}"
    best = _best_c_row(group, count)
    if best is not None:
        times, interval = _times(group, champion, best, count)
        text += f"; {best} {times} that{interval}"
    return f"{text}."


def _best_c_row(group: Group, count: int) -> str | None:
    c_rows = [row for row in _rows_at(group, count) if group.families[row] == "C"]
    return max(c_rows, key=lambda row: _speed(group, row, count), default=None)


def _stamp_sentence(group: Group, counts: Sequence[int]) -> str:
    """Which of the figures in the sentences are stamped; empty when all are clean."""
    stamped = []
    for count in counts:
        named = [*(_champion_and_base(group, count) or ()), _best_c_row(group, count)]
        for row in filter(None, named):
            codes = group.cells[row, count].codes
            if codes:
                stamped.append(f"{row} at {count_label(count)} ({', '.join(codes)})")
    return f"Not to be taken at face value: {'; '.join(stamped)}." if stamped else ""


def _times(group: Group, base: str, new: str, count: int) -> tuple[str, str]:
    """`3.1x` and ` (95% CI 2.9 to 3.3)`: how many times base new is, and how sure that is.

    Only rounds of one campaign decide; where the two are equal or undecided, that is said.
    """
    verdict = compare_cells(group.cells[base, count], group.cells[new, count]).verdict
    if verdict is None:
        ratio = _speed(group, new, count) / _speed(group, base, count)
        return f"{_one_decimal(ratio)}x", " (one round: no interval)"
    found = verdict.estimate
    doubt = {"equal": f": equal within {share_words(verdict.margin)}", "undecided": ": undecided"}
    words = interval_words(found, 2 if found.value < 1.95 else 1)
    return f"{_one_decimal(found.value)}x", f" (95% CI {words}{doubt.get(verdict.kind, '')})"


def _one_decimal(ratio: float) -> str:
    """One decimal, but two around 1, where one would hide which side it is on."""
    return ratio_text(ratio) if ratio < 1.95 else f"{ratio:.1f}"


def _cpu_sentence(group: Group, count: int) -> str:
    pair = _champion_and_base(group, count)
    if pair is None:
        return ""
    rows = [pair[0], pair[1]]
    found = [(row, group.summary(row, count, "cpu_us_per_msg")) for row in rows]
    parts = [f"{plain_text(s.mean)} us in {row}" for row, s in found if s is not None]
    if len(parts) < 2:
        return ""
    return f"A message costs the worker {' and '.join(parts)} of CPU at {count_label(count)}."
