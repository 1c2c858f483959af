"""The same question to every worker of a cluster."""

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from pybench.cluster import remote
from pybench.cluster.check import Finding, Question
from pybench.cluster.dispatch import LOOK_S, Answer
from pybench.result.campaign import CampaignRecord


class Askable(Protocol):
    """Workers that answer; `DaskPool` is. Its calls are described there."""

    def workers(self) -> Sequence[str]: ...
    def call(
        self, name: str, function: Callable[[bytes], bytes], data: bytes, worker: str
    ) -> None: ...
    def answers(self, timeout_s: float) -> Sequence[Answer]: ...
    def drop(self, name: str) -> None: ...


def survey(
    pool: Askable, question: Question, workers: Sequence[str] | None = None
) -> dict[str, Finding | str]:
    """What each worker has found, or why it has no answer. One that measures answers after that.

    workers: whom to ask, all unless told.
    Raises ServerError when the scheduler is lost.
    """
    data, found = question.to_bytes(), dict[str, Finding | str]()
    kind = "calibrate" if question.calibrate else "check"
    asked = pool.workers() if workers is None else workers
    waiting = {f"pybench-{kind}-{os.getpid()}-{worker}": worker for worker in asked}
    for name, worker in waiting.items():
        pool.call(name, remote.run_check, data, worker)
    while waiting:
        for answer in pool.answers(LOOK_S):
            if worker := waiting.pop(answer.name, ""):
                found[worker] = answer.error or Finding.from_bytes(answer.data)
        alive = set(pool.workers())
        for name in [name for name, worker in waiting.items() if worker not in alive]:
            pool.drop(name)
            found[waiting.pop(name)] = "it has gone"
    return found


def survey_machines(
    pool: Askable, campaign: CampaignRecord, *, calibrate: bool
) -> dict[str, Finding | str]:
    """As `survey`. calibrate: each machine as well, by the first of its workers."""
    found = survey(pool, Question(campaign=campaign, calibrate=False))
    if calibrate:
        first: dict[str, str] = {}
        for worker, answer in sorted(found.items()):
            if isinstance(answer, Finding):
                first.setdefault(answer.machine.id, worker)
        asked = sorted(first.values())
        found |= survey(pool, Question(campaign=campaign, calibrate=True), asked)
    return found
