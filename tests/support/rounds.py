"""One round in the test's own process, by the driver: the fixture `measure` and what it takes."""

import os
from collections.abc import Callable, Iterator

import pytest

from pybench import backends
from pybench.driver import round as one_round
from pybench.driver.interrupts import Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.machine.placement import Placement
from pybench.result import Result
from pybench.spec import Cell
from tests.support import SUPPORT, processes

Measure = Callable[..., Result]
FREE = Placement(worker_cpu=None, server_cpus=None, server_threads=None, shared_cpus=())
IMPATIENT = one_round.Timeouts(listen=20, connect=20, ready=1, silence=3, finish=1)
HASTY = one_round.Timeouts(silence=0.5)


def cell(func: str, conns: int = 10, **changes: object) -> Cell:
    """A short round's cell. `bad:NAME` is a backend of badbackends.py."""
    values = {"msize": 64, "runtime_ns": 150_000_000, "warmup_ns": 30_000_000} | changes
    if func.startswith("bad:"):
        target = f"badbackends:{func[4:]}"
        row = backends.Row(func, "breaks the contract", "C", target)
    else:
        row = backends.find(func)
    return Cell(row=row, conns=conns, **values)  # type: ignore[arg-type]


@pytest.fixture
def measure(load_server: LoadServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Measure]:
    """Runs one round; afterwards no worker is left."""
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    with Interrupts() as interrupts:

        def run(
            what: Cell,
            *,
            on_progress: one_round.OnProgress = lambda progress: None,
            **changes: object,
        ) -> Result:
            values: dict[str, object] = {
                "server": load_server.address,
                "bind": "127.0.0.1",
                "placement": FREE,
                "interrupts": interrupts,
                "env": {"here": True},
            }
            context = one_round.RoundContext(**values | changes)  # type: ignore[arg-type]
            return one_round.run(what, 1, context, on_progress)

        yield run
    for module in ("pybench.worker", "pybench.worker.supervisor"):
        assert not processes.child_called(os.getpid(), module)
