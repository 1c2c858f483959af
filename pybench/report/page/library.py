"""The chart library inside the page: Plotly, deflated, in base64; `script/start.js` unpacks it.

As it comes it is 4.8 MB, of which a page of ours needs all in one file. A browser inflates it in
some hundredths of a second (every one since the spring of 2023 can).
"""

import base64
import zlib
from importlib.resources import files


def packed() -> tuple[str, str]:
    """The name and licence of the library in one line, and the library itself."""
    code = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return _notice(code.decode("utf-8")), base64.b64encode(zlib.compress(code, 9)).decode("ascii")


def _notice(code: str) -> str:
    """The words of the comment that it begins with."""
    comment = code[: code.find("*/")] if code.startswith("/*") else ""
    return " ".join(comment.replace("*", " ").strip("/ ").split())
