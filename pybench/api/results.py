"""Rounds that were measured, here or in a file: they tabulate and plot themselves."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pybench.analysis.load import Loaded
from pybench.analysis.model import Group, Round, rounds_of_section
from pybench.analysis.race import Contest
from pybench.api.given import path_of, text_of, words_of
from pybench.api.races import RaceResult
from pybench.api.shown import Shown, frame_of, with_notes, written
from pybench.errors import UsageError
from pybench.report.chosen import Choice, chosen_document, chosen_tables
from pybench.report.document import Document
from pybench.report.optional import require
from pybench.report.ranking import with_races
from pybench.report.select import parse_cells
from pybench.report.summary import summary_document
from pybench.result import Result
from pybench.result.campaign import CampaignRecord

if TYPE_CHECKING:
    import pandas

    from pybench.api.picture import Picture

_OF_ROUND: Final = (
    *("func", "conns", "msize", "rate", "round", "status", "error", "stamps"),
    *("family", "python", "server", "runtime_s", "started_at", "campaign"),
)


class Measured(Result, frozen=True, kw_only=True):
    """One round, as `pybench.result.Result` has it; in a notebook it shows its line."""

    def __str__(self) -> str:
        return str(results_of([self]))

    def _repr_html_(self) -> str:
        return results_of([self])._repr_html_()


class Results(Shown):
    """All rounds of a campaign, or of some files.

    Iterating gives the records, each a `pybench.result.Result`; `len` counts them. Rounds of the
    2016 experiment have no records: they are in tables, frames and pictures.

    races: those that the files hold.  notes: what to keep in mind, a line each.
    errors: lines of the files that could not be read; the others are there.
    campaigns: the header lines, as `pybench.result.campaign.CampaignRecord`.
    """

    def __init__(self, loaded: Loaded, notes: Sequence[str] = ()) -> None:
        self._loaded = loaded
        self.notes: tuple[str, ...] = (*notes, *loaded.notes)

    @property
    def records(self) -> tuple[Result, ...]:
        """Every round in the order of measuring, failed ones too, as a file would hold it."""
        return self._loaded.records

    @property
    def campaigns(self) -> tuple[CampaignRecord, ...]:
        return self._loaded.campaigns

    @property
    def errors(self) -> tuple[str, ...]:
        return self._loaded.errors

    @cached_property
    def races(self) -> tuple[RaceResult, ...]:
        return tuple(map(RaceResult, self._loaded.contests))

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The same for analysis: `values` has each quantity by the name that frames give it."""
        return self._loaded.rounds

    @property
    def ok(self) -> bool:
        """Whether every round measured what it was to measure."""
        return all(r.ok for r in self.rounds)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __bool__(self) -> bool:
        """Whether anything was measured, with a record or without."""
        return bool(self.rounds or self.races)

    def __repr__(self) -> str:
        rows = ", ".join(dict.fromkeys(r.func for r in self.rounds))
        races = f", {len(self.races)} races" if self.races else ""
        return f"<Results: {len(self.rounds)} rounds of {rows or 'nobody'}{races}>"

    # ---- tables ----

    def table(
        self,
        names: str | Sequence[str] | None = None,
        *,
        format: str = "table",
        relative_to: str | None = None,
        server_name: str | None = None,
    ) -> str:
        """What `pybench report` prints, as text.

        names: which tables, as its `--table`: `"mps,lat99"`, `["mps", "lat99"]`, `"all"`.
        format: table, markdown, csv, json or html.  relative_to: the row that is 1 in relative
        figures.  server_name: only results of this load server.
        Raises UsageError for a table, a format, a row or a server that there is not.
        """
        document = self._report(
            words_of("table: names", names),
            text_of("table: relative_to", relative_to),
            text_of("table: server_name", server_name),
        )
        return written(document, format)

    def to_frame(self) -> "pandas.DataFrame":
        """A line a round, failed ones too: what was asked for, its status, and every figure.

        Figures have their unit in their name: `mps` and `mps_user` messages/s, `lat50_ns` to
        `lat99_ns` and `latmean_ns` ns, `cpu_us_per_msg` us, `..._pct` percent, `..._kib` KiB;
        what a round does not tell is NaN. `stamps` are their codes with spaces between.
        Raises UsageError where pandas is not installed.
        """
        quantities = dict.fromkeys(name for r in self.rounds for name in r.values)
        lines = [
            [*_asked(r), *(r.values.get(name, float("nan")) for name in quantities)]
            for r in self.rounds
        ]
        return frame_of([*_OF_ROUND, *quantities], lines)

    def groups(self, server_name: str | None = None) -> list[Group]:
        """What stands in one table each: one load server, one size, one runtime and so on.

        Raises UsageError when there is no such load server, or nothing but races.
        """
        return self._loaded.groups(server_name)

    def _groups(self, server_name: str | None = None) -> list[Group]:
        return self.groups(server_name) if self.rounds else []

    def _report(
        self, names: str | None, relative_to: str | None, server_name: str | None
    ) -> Document:
        choice, groups = Choice(names, relative_to), self._groups(server_name)
        tables = chosen_tables(groups, choice)
        return chosen_document(groups, tables, choice, contests=self._loaded.contests)

    def _document(self) -> Document:
        """As a run shows itself at its end; where rounds have no records, as a report does."""
        if self.records and len(self.records) == len(self.rounds):
            document = summary_document(self.records)
            if contests := self._loaded.contests:
                document = with_races(document, contests)
        else:
            document = self._report(None, None, None)
        return with_notes(document, [*self.notes, *self.errors])

    # ---- pictures ----

    def plot(
        self,
        name: str = "mps",
        *,
        cells: str | None = None,
        server_name: str | None = None,
        group: int | None = None,
    ) -> "Picture":
        """One of the pictures of `pybench report --plots`, by the name of its file.

        name: `mps`, `lat95`, `cpu_per_message`, `latency_distribution`, `fairness`, ...
        cells: of the distribution, as `"c_epoll:1k,:10k"`.  server_name: only results of this load
        server.  group: which setting, from 0, where the results are of several.
        Raises UsageError: no such picture, nothing to show in it, several settings and no `group`,
        or matplotlib is not installed.
        """
        require("plot", "matplotlib")
        from pybench.api.picture import Picture
        from pybench.report.plots.single import BY_SIZE, draw

        wanted = parse_cells(words_of("plot: cells", cells))
        groups = self._groups(text_of("plot: server_name", server_name))
        if not groups:
            raise UsageError("plot: these are races: .races[0].plot()")
        if group is None and len(groups) > 1 and name not in BY_SIZE:
            titles = "; ".join(f"{i}: {one.title}" for i, one in enumerate(groups))
            raise UsageError(f"plot: the results are of several settings: group= one of {titles}")
        number = group or 0
        if not isinstance(number, int) or not 0 <= number < len(groups):
            raise UsageError(f"plot: group {number!r}: there are {len(groups)}, from 0")
        return Picture(draw(groups, name, number, wanted))

    def write_page(self, path: str | Path) -> Path:
        """The page of `pybench report --html`, in one file; returns its path.

        Raises UsageError when it cannot be written, or plotly or jinja2 is not installed.
        """
        require("write_page", "plotly", "jinja2")
        from pybench.report.charts import Charts
        from pybench.report.page.write import write_page

        charts = [Charts(group) for group in self._groups()]
        references = [None] * len(charts)
        file = path_of("write_page", path)
        write_page(charts, references, self.campaigns, file, contests=self._loaded.contests)
        return file


def results_of(
    records: Sequence[Result],
    campaign: CampaignRecord | None = None,
    notes: Sequence[str] = (),
    *,
    contests: Sequence[Contest] = (),
    errors: Sequence[str] = (),
) -> Results:
    """Of rounds of one window, fresh from a campaign. contests: races behind it.  errors: lines of
    its file that could not be read."""
    loaded = Loaded(
        rounds=tuple(rounds_of_section(records, campaign)),
        campaigns=() if campaign is None else (campaign,),
        contests=tuple(contests),
        errors=tuple(errors),
        records=tuple(records),
    )
    return Results(loaded, notes)


def _asked(r: Round) -> list[Any]:
    """The columns of a frame that are no figures."""
    codes = " ".join(stamp.code for stamp in r.warnings)
    setting = r.setting
    return [
        *(r.func, r.conns, setting.msize, r.rate, r.number, r.status, r.error, codes),
        *(r.family, r.python, setting.server, setting.runtime_s, r.started_at, r.campaign),
    ]
