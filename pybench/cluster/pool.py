"""The workers of a Dask cluster that measure: the only file that knows `distributed`.

Those take part that offer the resource `pybench`. A unit goes to one of them by name and to no
other: whether it is to run elsewhere when that one has gone is for `dispatch.py` to say. Dask's own
retries would run it wherever there is room, and its stealing would tear blocks apart.
"""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

from pybench.cluster import remote
from pybench.cluster.dispatch import Answer, Sendable
from pybench.errors import ServerError, UsageError

RESOURCE: Final = "pybench"
CONNECT_TIMEOUT_S: Final = 10


def _quiet() -> None:
    """Errors are said once, by us. Dask gives some of its loggers a level and a way out each."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


class DaskPool:
    """Connected to a scheduler. A context manager; leaving it lets go of all that was started.

    Raises UsageError without the library, ServerError when there is no scheduler.
    """

    def __init__(self, scheduler: str) -> None:
        try:
            import distributed
        except ImportError as exc:
            raise UsageError(
                f"--cluster: distributed is not there ({exc}): pip install distributed"
            ) from exc
        _quiet()
        self._dask = distributed
        self._scheduler = scheduler
        self._futures: dict[str, Any] = {}
        try:
            with warnings.catch_warnings():
                # Of other versions of libraries that Dask knows; ours is compared by each unit.
                warnings.simplefilter("ignore")
                self._client = distributed.Client(
                    scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False, name="pybench"
                )
        except (OSError, TimeoutError, distributed.TimeoutError, ValueError) as exc:
            raise ServerError(
                "unreachable", f"no scheduler at {scheduler}: {exc or 'no answer'} (dask scheduler)"
            ) from exc

    def __enter__(self) -> "DaskPool":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for name in list(self._futures):
            self.drop(name)
        self._client.close(timeout=CONNECT_TIMEOUT_S)

    def workers(self) -> list[str]:
        """See Pool: their addresses."""
        try:
            if self._client.status != "running":
                raise OSError(f"its client is {self._client.status}")
            found = self._client.scheduler_info()["workers"]
        except (OSError, TimeoutError, self._dask.TimeoutError) as exc:
            raise ServerError(
                "unreachable", f"lost the scheduler at {self._scheduler}: {exc}"
            ) from exc
        return sorted(
            address
            for address, worker in found.items()
            if worker.get("resources", {}).get(RESOURCE, 0) >= 1
        )

    def start(self, unit: Sendable, worker: str) -> None:
        """See Pool."""
        self.call(unit.name, unit.function, unit.to_bytes(), worker)

    def call(self, name: str, function: Callable[[bytes], bytes], data: bytes, worker: str) -> None:
        """Have the worker call a function of `remote.py`, while it measures nothing else.

        The key says who was asked: elsewhere it is another task, with nothing left of the first.
        The function travels as a text: a Dask worker that cannot import what it is sent to run ends
        itself, and with a nanny begins anew; this way the task fails, and says what is missing.
        """
        self._futures[name] = self._client.submit(
            eval,
            f"__import__('importlib').import_module({function.__module__!r})"
            f".{function.__name__}(data)",
            {"data": data},
            key=f"{name}@{worker}",
            workers=[worker],
            resources={RESOURCE: 1},
            pure=False,
        )

    def answers(self, timeout_s: float) -> Sequence[Answer]:
        """See Pool."""
        if not self._futures:
            time.sleep(timeout_s)
            return []
        try:
            with self._client.as_current():
                self._dask.wait(
                    list(self._futures.values()), timeout=timeout_s, return_when="FIRST_COMPLETED"
                )
        except (TimeoutError, self._dask.TimeoutError):
            return []
        except self._dask.CancelledError:
            time.sleep(timeout_s)  # the scheduler has lost it: `workers` says why
            return []
        ended = {n: f for n, f in self._futures.items() if f.status in ("finished", "error")}
        answers = [self._answer(name, future) for name, future in ended.items()]
        return [answer for answer in answers if answer is not None]

    def _answer(self, name: str, future: Any) -> Answer | None:
        """None when it was lost on the way: its worker went before it had sent it."""
        try:
            if future.status == "finished":
                answer = Answer(name, data=future.result(timeout=CONNECT_TIMEOUT_S))
            else:
                exc = future.exception(timeout=CONNECT_TIMEOUT_S)
                text = str(exc) if isinstance(exc, remote.MachineError) else repr(exc)
                unfit = isinstance(exc, remote.UnfitError)
                answer = Answer(name, error=" ".join(text.split()), unfit=unfit)
        except (TimeoutError, self._dask.TimeoutError, self._dask.CancelledError):
            return None
        self.drop(name)
        return answer

    def drop(self, name: str) -> None:
        """See Pool."""
        future = self._futures.pop(name, None)
        if future is not None and self._client.status == "running":
            future.cancel()
