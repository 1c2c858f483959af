"""A picture that shows itself in a notebook, and can be saved. Needs matplotlib."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybench.api.given import path_of
from pybench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """What `.plot()` returns. figure: of matplotlib, for who wants to change it."""

    figure: "Figure"

    def save(self, path: str | Path) -> Path:
        """Write a file; its ending, `.svg` or `.png`, says which kind. Returns the path.

        Raises UsageError for another ending, or when the file cannot be written.
        """
        from pybench.report.plots.single import image

        file = path_of("save", path)
        kind: Any = file.suffix.removeprefix(".")
        if kind not in ("svg", "png"):
            raise UsageError(f"{file}: pictures are .svg or .png")
        try:
            file.write_bytes(image(self.figure, kind))
        except OSError as exc:
            raise UsageError(f"{file}: {exc.strerror}") from exc
        return file

    def _repr_png_(self) -> bytes:
        from pybench.report.plots.single import image

        return image(self.figure, "png")
