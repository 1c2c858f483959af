"""What a load server says: the same result however it was cut into segments, or a named error."""

import atheris

with atheris.instrument_imports(include=["pybench"]):
    from pybench.driver.control import ReplyParser
from pybench.errors import ProtocolError, PybenchError, ServerError
from tests.fuzz import reading


def parsed(data: bytes, lengths: reading.Choices) -> tuple[ReplyParser, str]:
    """The parser that was fed in segments of these lengths, and its error."""
    parser, rest = ReplyParser(), data
    try:
        while rest:
            length = 1 + lengths.below(40)
            parser.feed(rest[:length])
            rest = rest[length:]
    except (ProtocolError, ServerError) as exc:
        return parser, f"{type(exc).__name__}: {exc}"
    return parser, ""


def target(data: bytes) -> None:
    """One conversation."""
    whole = ReplyParser()
    error = ""
    try:
        whole.feed(data)
    except PybenchError as exc:
        reading.check_clean(str(exc), "")
        error = f"{type(exc).__name__}: {exc}"
    cut, cut_error = parsed(data, reading.Choices(data[::-1]))
    # Of a line that never ends only the beginning may be shown, wherever it was cut.
    assert bool(error) == bool(cut_error), (error, cut_error)
    assert "reply line of more than" in error or error == cut_error, (error, cut_error)
    assert whole.measurement == cut.measurement
    if (result := whole.measurement) is not None:
        assert sum(result.histogram.values()) == result.messages


if __name__ == "__main__":
    reading.fuzz(target)
