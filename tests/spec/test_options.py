"""The table of options: each row is on the command line, in campaign files and in the header."""

import subprocess
from collections.abc import Callable
from dataclasses import fields

import pytest

from pybench.spec import OPTIONS, Campaign, Cell
from pybench.spec.options import CampaignOptions, RoundOptions

Run = Callable[..., "subprocess.CompletedProcess[str]"]
GIVEN = {
    "func": "selector,mine=thread", "conns": "10,1k", "rounds": "3", "rate": "auto",
    "env": ["A=1", "B=2,C=3"], "seed": "7", "skip_impossible": True, "msize": "100",
    "runtime": "1500ms", "warmup": "0", "server": "[::1]:7", "bind": "::1", "server_threads": "2",
    "busy_poll": "50us", "cpu": "1", "no_pin": False, "engine": "epoll", "timestamps": "kernel",
    "arrivals": "poisson", "transport": "tcp", "inflight": "1", "idle": "0,10k",
    "workers": "1,2", "loops": "2",
}  # fmt: skip
LEFT_OUT = {"think", "server_cpus", "python", "cluster"}  # exclude others, or start an interpreter


def test_every_option_is_tried_here() -> None:
    assert GIVEN.keys() | LEFT_OUT == OPTIONS.keys()


def test_every_option_survives_the_header_of_a_file() -> None:
    campaign = Campaign.from_options(GIVEN, str)
    assert Campaign.from_record(campaign.to_record()) == campaign
    assert [row.name for row in campaign.rows] == ["selector", "mine"]
    assert (campaign.conns, campaign.rate, campaign.rate_auto) == ((10, 1000), (), True)
    assert (campaign.runtime_ns, campaign.busy_poll_us) == (1_500_000_000, 50)
    assert campaign.pin and campaign.skip_impossible


def test_defaults_are_the_values_of_their_texts() -> None:
    campaign = Campaign.from_options({"func": "selector", "conns": "1"}, str)
    for field in fields(CampaignOptions):
        option = field.metadata["option"]
        if option.default is not None:
            assert getattr(campaign, field.name) == option.parse(option.default) == field.default


def test_a_cell_has_every_option_of_a_round() -> None:
    (first, *_) = Campaign.from_options({**GIVEN, "rate": "5k"}, str).cells
    assert isinstance(first, Cell) and first.rate == 5000 and first.row.name == "selector"
    assert (first.msize, first.runtime_ns, first.engine) == (100, 1_500_000_000, "epoll")
    assert {f.name for f in fields(RoundOptions)} <= {f.name for f in fields(Cell)}


def test_every_option_is_in_the_help(run: Run) -> None:
    text = run("--help").stdout
    for name in OPTIONS:
        assert f"--{name.replace('_', '-')} " in text or f"--{name.replace('_', '-')}\n" in text


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"env"}))
def test_an_error_names_the_option(name: str) -> None:
    option = OPTIONS[name]
    with pytest.raises(Exception, match=f"^called-{name}: "):
        option.value({name: "no such: value" if not option.flag else "perhaps"}, f"called-{name}")
