"""Processes: the CPU time and memory of the processes that are measured."""

from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]


def cpu_s(pid: int, *, family: bool = False) -> float:
    """Return the CPU seconds that a process has used.

    Args:
        pid: The process.
        family: Count its children too, those that have ended as well: a PostgreSQL server is a family.
    """
    process = psutil.Process(pid)
    own = process.cpu_times()
    total = float(own.user + own.system)
    if not family:
        return total
    total += own.children_user + own.children_system
    for child in process.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


class CpuMeter:
    """CPU seconds of several processes from ``__init__`` on."""

    def __init__(self, pids: Mapping[str, tuple[int, bool]]) -> None:
        """Begin.

        Args:
            pids: Name to process, and whether to count its family.
        """
        self._pids = pids
        self._before = self._now()

    def used(self) -> dict[str, float]:
        """Return the seconds used since the beginning, by name."""
        return {name: seconds - self._before[name] for name, seconds in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: cpu_s(pid, family=family) for name, (pid, family) in self._pids.items()}
