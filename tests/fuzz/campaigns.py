"""Campaign files: a campaign, or one line that names the file."""

import json

import atheris

with atheris.instrument_imports(include=["pybench"]):
    from pybench.spec import OPTIONS, Campaign
    from pybench.spec.file import read_campaign_file
from pybench.errors import UsageError
from tests.fuzz import reading

GOOD = {
    "func": ["asyncio_proto,c_epoll", "mine=selector"],
    "conns": [10, "1k"],
    "rounds": 3,
    "runtime": "2s",
    "warmup": 0.5,
    "msize": "64KiB",
    "think": "10us:1ms",
    "env": ["A=1,B=2"],
    "engine": "epoll",
    "server": "[::1]:33331",
    "seed": 7,
    "skip_impossible": True,
}
SCRATCH = reading.Scratch("campaigns")


def as_toml(options: object) -> str:
    """JSON's values are TOML's, as far as TOML has them."""
    if not isinstance(options, dict):
        return json.dumps(options)
    return "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in options.items())


def target(data: bytes) -> None:
    """One file."""
    path = str(SCRATCH.holding(reading.text_of(data, GOOD, as_toml)))
    options = reading.expect(UsageError, lambda: read_campaign_file(path), path)
    if options is None:
        return
    assert options.keys() <= OPTIONS.keys()
    names = f"{path}: %s"

    def campaign() -> Campaign:
        return Campaign.from_options({"func": "selector", "conns": "1"} | options, names.__mod__)

    made = reading.expect(UsageError, campaign, "")
    if made is not None:
        assert made.cells


if __name__ == "__main__":
    reading.fuzz(target)
