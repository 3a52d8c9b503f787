"""Confinement: hold a process, and all that it starts, to the memory and the CPUs of its machine.

By a cgroup of its own where the worker's control group is one of several below a group that is handed to its user
(``Delegate=yes`` and ``DelegateSubgroup=`` of systemd). Elsewhere on Linux by looking: what the processes have resident
is added up and CPU time is given in small portions, while a limit on writable memory refuses what is too large at once.
"""

import contextlib
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

from oncue import telemetry
from oncue.protocol.machines import Size
from oncue.worker.isolation import cgroups, usage
from oncue.worker.isolation.cgroups import Cgroup

_SLACK_BYTES: Final = 1024 * 1024 * 1024
"""Writable memory beyond the machine's: for stacks and what is reserved and not used. What is used is looked at."""

_BURST_S: Final = 0.1
"""CPU time that a process may save up, for each CPU that it has."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def end_with_parent() -> None:
    """Let the kernel end this process with its parent."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Be the parent of descendants whose own parent has ended: a daemon of a run's stays in its family."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_family(pid: int) -> None:
    """End a process and what it started, now."""
    for member in usage.family(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value)


def limit_addresses(size: Size) -> None:
    """Refuse this process writable memory that is far beyond its machine, as a ``MemoryError``."""
    limit = usage.writable_bytes() + size.memory_bytes + _SLACK_BYTES
    with contextlib.suppress(ValueError, OSError):  # a limit that is set already is lower
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def delegated_cgroup() -> Path | None:
    """Return the control group below which processes get theirs; None where there is none to use."""
    return cgroups.delegated(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


class Confined:
    """A process and its limits; its parent looks after it."""

    def __init__(self, pid: int, size: Size, parent: Path | None) -> None:
        """Begin to hold a child of this process, before it runs anything.

        Args:
            pid: The child, whose session is its own.
            size: What it may use.
            parent: Control group below which it gets one; None: it is looked at.
        """
        self.pid = pid
        self._size = size
        self._cgroup = None if parent is None else _grouped(parent, pid, size)
        self.is_watched = self._cgroup is None and usage.is_known()
        """Whether ``look`` has something to do."""
        self._is_out_of_memory = False
        self._is_paused = False
        self._looked_at_s = time.monotonic()
        self._allowed_s = _BURST_S * size.cpus
        self._used_s = 0.0

    def look(self, now_s: float) -> None:
        """Look whether it keeps to its limits: pause it, let it go on, or kill it."""
        if not self.is_watched:
            return
        pids = usage.family(self.pid)
        if usage.memory_exceeds(pids, self._size.memory_bytes):
            self._is_out_of_memory = True
            self.kill()
        elif self._size.cpus < (os.cpu_count() or 1):
            self._give_time(pids, now_s)

    def kill(self) -> None:
        """End it and what it started, now."""
        kill_family(self.pid)

    def ended(self) -> bool:
        """Clean up after its death; return whether it had used up its memory."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # What it has started and not awaited is in its process group, unless it saw to it otherwise.
            os.killpg(self.pid, signal.SIGKILL)
        if self._cgroup is not None:
            self._is_out_of_memory |= self._cgroup.was_out_of_memory()
            self._cgroup.remove()
        return self._is_out_of_memory

    def _give_time(self, pids: list[int], now_s: float) -> None:
        cpus = self._size.cpus
        used_s = usage.cpu_s(pids)
        # Less than before where a descendant has ended, whose time is then its parent's.
        spent_s = max(0.0, used_s - self._used_s)
        earned_s = cpus * (now_s - self._looked_at_s)
        self._used_s, self._looked_at_s = used_s, now_s
        self._allowed_s = min(self._allowed_s + earned_s, _BURST_S * cpus) - spent_s
        if (self._allowed_s < 0) != self._is_paused:
            self._is_paused = not self._is_paused
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP if self._is_paused else signal.SIGCONT)


def _grouped(parent: Path, pid: int, size: Size) -> Cgroup | None:
    try:
        return Cgroup.make(parent / f"oncue-{pid}", pid, size)
    except OSError as error:
        telemetry.event("isolation.ungrouped", group=str(parent), error=str(error))
        return None
