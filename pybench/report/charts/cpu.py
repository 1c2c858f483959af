"""What one message costs the worker, user and system."""

from dataclasses import dataclass

from pybench.analysis.model import CellRounds


@dataclass(frozen=True, slots=True)
class CpuBar:
    """Means of the rounds, microseconds a message."""

    user: float
    system: float
    stamped: bool

    @property
    def total(self) -> float:
        """Both together."""
        return self.user + self.system


def cpu_bar(cell: CellRounds) -> CpuBar | None:
    """The cell's bar; None when its CPU time is not known by mode."""
    user, system = cell.summary("user_us_per_msg"), cell.summary("sys_us_per_msg")
    if user is None or system is None:
        return None
    return CpuBar(user.mean, system.mean, bool(cell.codes))
