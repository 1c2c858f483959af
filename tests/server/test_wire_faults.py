"""Segments cut anywhere, peers that leave at any step: the server says what it promises, or is left
alone, and is as it was before."""

import pytest

from tests.support import hostile
from tests.support.wire import Peer, ServerProcess


@pytest.fixture(scope="module")
def files(server: ServerProcess) -> int:
    """Descriptors of the server before anybody has come."""
    return hostile.open_files(server)


def assert_serves(server: ServerProcess) -> None:
    with Peer() as peer:
        answer = server.run(peer.port, conns=3, warmup_ms=0, runtime_ms=20)
    assert answer.verbs[-1] == "end", answer
    assert answer.count("lost") == 0
    assert answer.count("total") > 0


@pytest.mark.parametrize("step", hostile.STEPS)
def test_sessions_that_are_cut_at_each_step(
    server: ServerProcess, files: int, step: hostile.Step
) -> None:
    for number in range(8):
        plan = hostile.make_plan(f"{step} {number}", step=step)
        try:
            hostile.play(plan, server, files)
        except AssertionError as exc:
            raise AssertionError(plan) from exc
    assert_serves(server)
