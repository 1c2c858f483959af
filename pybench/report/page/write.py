"""One HTML page with everything in it: no request leaves it, and its own policy forbids any.

Tables are in the page as text and work without a script; `page.js` sorts them, hides rows and draws
the charts with Plotly, which is inlined. `page.html` is the template, `page.css` the look.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import plotly.offline
from markupsafe import Markup
from msgspec import UNSET

from pybench import __version__
from pybench.analysis.compare import flat_items
from pybench.analysis.model import Cell, Group, Round, fastest_first, kept_rate
from pybench.backends.names import by_family
from pybench.errors import UsageError
from pybench.report.metrics import METRICS, Metric
from pybench.report.plots.draw import connection_span, percentile_curve
from pybench.report.reference import Reference
from pybench.report.sentences import summary_sentences
from pybench.report.style import MANY, RowStyle, row_styles
from pybench.report.tables import GroupTables, Table, build_tables, collect_stamps
from pybench.report.text import MISSING, sentence_case
from pybench.result.campaign import CampaignRecord
from pybench.units import count_label

_LINE_CHARTS: Final = ("mps", "lat50", "lat95", "lat99", "due50", "due95", "due99")

_OPTIONS: Final = (
    ("func", "--func"),
    ("conns", "--conns"),
    ("rounds", "--rounds"),
    ("runtime_s", "--runtime"),
    ("warmup_s", "--warmup"),
    ("msize", "--msize"),
    ("rate", "--rate"),
    ("engine", "--engine"),
    ("timestamps", "--timestamps"),
    ("busy_poll_us", "--busy-poll"),
    ("seed", "--seed"),
    ("server", "--server"),
)


def write_page(
    groups: Sequence[Group],
    references: Sequence[Reference | None],
    campaigns: Sequence[CampaignRecord],
    path: Path,
    *,
    command: Sequence[str] = (),
) -> None:
    """Write the page.

    references: one per group, None where it was not asked for.  campaigns: header records of the
    files.  command: the words that made this page.
    Raises UsageError when the file cannot be written.
    """
    parts = [build_tables(group, list(METRICS.values())) for group in groups]
    families = {row: family for group in groups for row, family in group.families.items()}
    styles = row_styles(families, families)
    many = len(styles) > MANY
    page = _template().render(
        title=_page_title(groups),
        version=__version__,
        sections=[
            _section(p, r, i, many=many)
            for i, (p, r) in enumerate(zip(parts, references, strict=True))
        ],
        families=[{"name": name, "rows": own} for name, own in by_family(styles, families).items()],
        many=many,
        most=MANY,
        environment=environment(groups),
        commands=commands(campaigns, command),
        css=Markup(_text("page.css")),
        script=Markup(_text("page.js")),
        plotly=Markup(plotly.offline.get_plotlyjs().replace("</script", "<\\/script")),
        data=Markup(_json(_data(groups, styles, many=many))),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"--html {path}: {exc.strerror}") from exc


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_text("page.html"))


def _text(name: str) -> str:
    return files("pybench.report.page").joinpath(name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _page_title(groups: Sequence[Group]) -> str:
    return f"pybench: {sentence_case(groups[0].title)}" if len(groups) == 1 else "pybench report"


def _row_order(group: Group, *, many: bool) -> list[str]:
    """The group's rows in the order of the tables; of a page with many rows family by family."""
    if not many:
        return group.rows
    return [row for rows in by_family(group.rows, group.families).values() for row in rows]


# What the template shows.


def _section(
    part: GroupTables, reference: Reference | None, number: int, *, many: bool
) -> dict[str, Any]:
    """One group for the template."""
    stamps = {stamp.mark: f"{stamp.code}: {stamp.text}" for stamp in part.stamps}
    order = _row_order(part.group, many=many)
    tables = {table.metric.name: _table(table, stamps, order) for table in part.tables}
    return {
        "id": f"g{number}",
        "number": number,
        "title": sentence_case(part.group.title),
        "open_loop": part.group.open_loop,
        "axis": part.group.setting.axis,
        "families": part.group.families,
        "sentences": summary_sentences(part.group),
        "tables": tables,
        "counts": {
            chart: [(int(c), count_label(int(c))) for c in _per_count(part.group, make)]
            for chart, make in _COUNT_CHARTS.items()
        },
        "stamps": part.stamps,
        "warnings": row_warnings(part.group),
        "failures": part.failures,
        "reference": None if reference is None else _reference(reference),
    }


def _table(table: Table, stamps: Mapping[str, str], order: Sequence[str]) -> dict[str, Any]:
    """Heads and cells, rows in that order.

    A cell has its text, the number it sorts by, its share of the table's largest, its marks and
    what they mean.
    """
    shown = {key: table.metric.value(entry.summary) for key, entry in table.entries.items()}
    largest = max(shown.values(), default=0.0) or 1.0
    lines = []
    for row in sorted(table.rows, key=order.index):
        cells = []
        for count in table.counts:
            entry = table.entries.get((row, count))
            cells.append(
                {"text": MISSING, "sort": "", "share": 0, "marks": "", "why": ""}
                if entry is None
                else {
                    "text": " ".join(entry.text.split()),
                    "sort": repr(shown[row, count]),
                    "share": round(100 * shown[row, count] / largest, 1),
                    "marks": entry.marks,
                    "why": "\n".join(stamps[mark] for mark in _each_mark(entry.marks, stamps)),
                }
            )
        lines.append({"row": row, "cells": cells})
    return {
        "name": table.metric.name,
        "title": table.metric.title,
        "heads": [count_label(c) for c in table.counts],
        "lines": lines,
        "bars": table.metric.name == "mps",
    }


def _each_mark(marks: str, known: Mapping[str, str]) -> list[str]:
    """The single marks in a cell's `ab`; with more than 26 kinds a mark may have two letters."""
    if all(mark in known for mark in marks):
        return list(marks)
    return [mark for mark in known if mark in marks]


def row_warnings(group: Group) -> list[dict[str, Any]]:
    """For each row its stamps: mark, code, the cells, every distinct text, the remedy."""
    found = []
    all_stamps = collect_stamps(group)
    for row in group.rows:
        items = []
        for stamp in all_stamps:
            cells = [group.cells[key] for key in stamp.cells if key[0] == row]
            if not cells:
                continue
            of_rounds = [r for c in cells for r in c.good if _has(r, stamp.code)]
            items.append(
                {
                    "mark": stamp.mark,
                    "code": stamp.code,
                    "where": ", ".join(count_label(cell.conns) for cell in cells),
                    "rounds": len(of_rounds) or sum(len(cell.good) for cell in cells),
                    "texts": _texts(cells, stamp.code) or [stamp.text],
                    "remedy": stamp.remedy,
                }
            )
        if items:
            found.append({"row": row, "stamps": items})
    return found


def _has(one: Round, code: str) -> bool:
    return any(warning.code == code for warning in one.warnings)


def _texts(cells: Sequence[Cell], code: str, most: int = 3) -> list[str]:
    """The first distinct texts of a warning, and how many more there are."""
    texts = list(
        dict.fromkeys(
            w.text for cell in cells for r in cell.good for w in r.warnings if w.code == code
        )
    )
    more = len(texts) - most
    return texts[:most] + ([f"and {more} more like these"] if more > 0 else [])


def _reference(reference: Reference) -> dict[str, Any]:
    return {
        "where": reference.where,
        "relative_to": reference.relative_to,
        "sentences": reference.sentences,
        "tables": [
            {
                "title": table.title,
                "heads": [count_label(c) for c in table.counts],
                "lines": [
                    {"row": row, "cells": [table.text(row, c, MISSING) for c in table.counts]}
                    for row in table.rows
                ],
            }
            for table in reference.tables
        ],
    }


def environment(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Every scalar of the rounds' environments; several values of one key are listed, at most 4."""
    values: dict[str, dict[str, None]] = {}
    for group in groups:
        for env in {id(r.env): r.env for r in group.rounds}.values():
            for key, value in flat_items(env):
                values.setdefault(key, {})[value] = None
    shown = []
    for key, found in values.items():
        few = list(found)[:4]
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        shown.append((key, ", ".join(few) + more))
    return shown


def commands(campaigns: Sequence[CampaignRecord], command: Sequence[str]) -> list[str]:
    """The lines to type again: each campaign's, then the report's own."""
    lines = [line for campaign in campaigns if (line := campaign_command(campaign))]
    if command:
        lines.append(shlex.join(command))
    return list(dict.fromkeys(lines))


def campaign_command(campaign: CampaignRecord) -> str:
    """The words of its command line (`command`), else its options put together again."""
    words = list(campaign.command)
    if not words:
        for key, option in _OPTIONS:
            value = getattr(campaign, key)
            if value not in (None, (), UNSET):
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words += [option, f"{text}us" if key.endswith("_us") else text]
    if not words:
        return ""
    program = Path(words[0]).name
    if program == "pybench" or program.startswith("python"):
        return shlex.join([program, *words[1:]])
    return shlex.join(["python", "-m", "pybench", *words])


# What the charts draw.


def _data(groups: Sequence[Group], styles: Mapping[str, RowStyle], *, many: bool) -> dict[str, Any]:
    """Everything for the script. most: rows that a chart draws unasked."""
    return {
        "groups": [_charts(group, _row_order(group, many=many)) for group in groups],
        "rows": _looks(styles),
        "fastest": fastest_first(groups),
        "most": MANY,
        "many": many,
    }


def _looks(styles: Mapping[str, RowStyle]) -> dict[str, dict[str, Any]]:
    """The style of every row for the script; dashes in pixels of a line 2 px wide."""
    return {
        row: {
            "family": style.family,
            "light": style.light,
            "dark": style.dark,
            "dash": ",".join(f"{2 * part:g}px" for part in style.dash) or "solid",
            "marker": style.plotly_marker,
        }
        for row, style in styles.items()
    }


def _charts(group: Group, order: Sequence[str]) -> dict[str, Any]:
    """Everything that the charts of a group need, rows in that order."""
    knees = {row: kept_rate(group, row) for row in order} if group.open_loop else {}
    return {
        "rows": order,
        "knees": knees,
        "counts": group.counts,
        "labels": [count_label(c) for c in group.counts],
        "axis": group.setting.axis,
        "lines": {name: _line_chart(group, METRICS[name]) for name in _LINE_CHARTS},
    } | {chart: _per_count(group, make) for chart, make in _COUNT_CHARTS.items()}


def _line_chart(group: Group, metric: Metric) -> dict[str, list[dict[str, Any]]]:
    """row -> points: connections, value, half of its error bar, stamped, hover text."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for (row, count), cell in sorted(group.cells.items(), key=lambda item: item[0][1]):
        summary = cell.summary(metric.quantity)
        if summary is None:
            continue
        text = metric.cell(summary, at_least=cell.at_least(metric.quantity))
        hover = f"<b>{escape(row)}</b> {group.setting.at(count)}: {' '.join(text.split())}"
        if summary.ci95 is not None:
            low, high = (metric.write(max(edge, 0.0)) for edge in summary.ci95)
            hover += f"<br>95% CI {low} to {high}, {summary.n} rounds"
        else:
            hover += "<br>one round"
        if cell.codes:
            hover += f"<br>stamped: {escape(', '.join(cell.codes))}"
        error = 2.5 * (summary.stddev or 0.0) if metric.spread else 0.0
        point = {"x": count, "y": metric.value(summary), "e": error}
        lines.setdefault(row, []).append(point | {"s": bool(cell.codes), "t": hover})
    return lines


def _per_count(group: Group, make: Any) -> dict[str, dict[str, Any]]:
    """connections -> row -> what `make` says about the cell, cells without it left out."""
    counts: dict[str, dict[str, Any]] = {}
    for count in group.counts:
        rows = {
            row: value
            for row in group.rows
            if (row, count) in group.cells and (value := make(group, row, count)) is not None
        }
        if rows:
            counts[str(count)] = rows
    return counts


def _distribution(group: Group, row: str, count: int) -> dict[str, Any] | None:
    cell = group.cells[row, count]
    if not cell.histogram:
        return None
    xs, ys = percentile_curve(cell)
    points = {"x": [float(f"{x:.5g}") for x in xs], "y": [round(y) for y in ys]}
    return points | {"s": bool(cell.codes)}


def _cpu(group: Group, row: str, count: int) -> dict[str, Any] | None:
    user = group.summary(row, count, "user_us_per_msg")
    system = group.summary(row, count, "sys_us_per_msg")
    if user is None or system is None:
        return None
    return {
        "u": round(user.mean, 3),
        "s": round(system.mean, 3),
        "stamped": bool(group.cells[row, count].codes),
    }


def _fairness(group: Group, row: str, count: int) -> dict[str, Any] | None:
    span = connection_span(group, row, count)
    if span is None:
        return None
    jain = group.summary(row, count, "jain")
    return {
        "span": [round(part, 4) for part in span],
        "jain": None if jain is None else round(jain.mean, 4),
        "starved": max(group.cells[row, count].values("starved"), default=0),
        "stamped": bool(group.cells[row, count].codes),
    }


_COUNT_CHARTS: Final = {"distribution": _distribution, "cpu": _cpu, "fairness": _fairness}
