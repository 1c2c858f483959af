"""Load servers that the tests of a file share: none may break it for the next."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.wire import Peer, ServerProcess, load_server, server_program


def engine_here(name: str) -> str:
    """The name of an engine; the test is skipped where it cannot run."""
    done = subprocess.run(
        [server_program(), "--engine", name, "--version"], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(done.stderr.strip())
    return name


@pytest.fixture(scope="module", params=["epoll", "uring"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that pings, where it can run."""
    return engine_here(request.param)


@pytest.fixture(scope="module")
def server(engine: str) -> Iterator[ServerProcess]:
    """One for each engine."""
    with load_server("--engine", engine, "--quiet") as running:
        yield running


@pytest.fixture(scope="module")
def any_server() -> Iterator[ServerProcess]:
    """For what has nothing to do with how the bytes are moved."""
    with load_server("--quiet") as running:
        yield running


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """Echoes."""
    with Peer() as echo:
        yield echo
