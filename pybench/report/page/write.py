"""One HTML page with everything in it: no request leaves it, and its own policy forbids any.

Tables are in the page as text and work without a script; `script/` sorts them, hides rows and draws
the charts with Plotly. `page.html` is the template, `page.css` the look.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from pybench import __version__
from pybench.analysis.along import side_by_side
from pybench.analysis.machines import by_machine
from pybench.analysis.model import Group
from pybench.analysis.race import Contest
from pybench.backends.names import by_family
from pybench.errors import UsageError
from pybench.report.charts import Charts
from pybench.report.machines import machine_sections
from pybench.report.metrics import METRICS
from pybench.report.page import library
from pybench.report.page.data import counts_of, page_data, row_order
from pybench.report.page.intervals import race_panels
from pybench.report.page.origin import commands, environment
from pybench.report.page.sections import section, size_section
from pybench.report.reference import Reference
from pybench.report.scaling import scaling_sections
from pybench.report.sizes import tables_of
from pybench.report.style import MANY, row_styles
from pybench.report.tables import build_tables
from pybench.report.text import sentence_case
from pybench.result.campaign import CampaignRecord

_SCRIPT: Final = ("theme", "rows", "tables", "axes", "charts", "draw", "start")


def write_page(
    charts: Sequence[Charts],
    references: Sequence[Reference | None],
    campaigns: Sequence[CampaignRecord],
    path: Path,
    *,
    command: Sequence[str] = (),
    contests: Sequence[Contest] = (),
) -> None:
    """Write the page.

    charts: of each group.  references: one per group, None where it was not asked for.
    campaigns: header records of the files.  command: the words that made this page.
    contests: races, which need no chart library.
    Raises UsageError when the file cannot be written.
    """
    page = template("page.html").render(
        **_content(charts, references),
        races=[panel for contest in contests for panel in race_panels(contest)],
        commands=commands(campaigns, command),
        css=Markup(text("page.css")),
        script=Markup(_script()),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise UsageError(f"--html {path}: {exc.strerror}") from exc


def _content(charts: Sequence[Charts], references: Sequence[Reference | None]) -> dict[str, Any]:
    """What the template shows of the results, and the library that draws them."""
    groups = [one.group for one in charts]
    families = {row: family for group in groups for row, family in group.families.items()}
    styles = row_styles(families, families)
    many = len(styles) > MANY
    sizes = side_by_side(groups)
    notice, code = library.packed() if groups else ("", "")
    return {
        "title": _page_title(groups) if groups else "pybench race",
        "version": __version__,
        "sections": [
            section(
                build_tables(one.group, list(METRICS.values())),
                reference,
                number,
                row_order(one, many=many),
                counts_of(one),
            )
            for number, (one, reference) in enumerate(zip(charts, references, strict=True))
        ],
        "sizes": [
            size_section(
                [(group, tables_of(group)) for group in family], len(groups) + number, list(styles)
            )
            for number, family in enumerate(sizes)
        ],
        "scaling": scaling_sections(groups),
        "machines": machine_sections(by_machine(groups)),
        "families": [
            {"name": name, "rows": own} for name, own in by_family(styles, families).items()
        ],
        "many": many,
        "most": MANY,
        "environment": environment(groups),
        "library_notice": notice,
        "library": Markup(code),
        "data": Markup(page_data(charts, styles, many=many, sizes=sizes)),
    }


def template(name: str) -> jinja2.Template:
    """A template of this folder; what it prints is escaped."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(text(name))


def text(name: str) -> str:
    """A file of this folder."""
    return files("pybench.report.page").joinpath(name).read_text(encoding="utf-8")


def _script() -> str:
    """The parts in one function: none of their names meets those of the library."""
    parts = "\n".join(text(f"script/{name}.js") for name in _SCRIPT)
    return f'"use strict";\n(() => {{\n{parts}}})();'


def _page_title(groups: Sequence[Group]) -> str:
    return f"pybench: {sentence_case(groups[0].title)}" if len(groups) == 1 else "pybench report"
