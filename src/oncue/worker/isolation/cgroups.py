"""Control groups: the kernel's own limits, version 2.

A group is made for each process, beside that of the worker, below a parent that systemd has handed to the worker's user
(``Delegate=`` and ``DelegateSubgroup=``). No process is moved but the new one.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from oncue.protocol.machines import Size

_PERIOD_US: Final = 100_000
_NEEDED: Final = frozenset({"memory", "cpu"})
_REMOVAL_S: Final = 0.2
"""How long the kernel may take to empty the group of a process that was killed."""


def _is_handed(group: Path) -> bool:
    """Return whether systemd has handed a group to its user, as it notes in an attribute of its folder."""
    try:
        return os.getxattr(group, "user.delegate") == b"1"
    except OSError:
        return False


def delegated(own: Path, root: Path, *, is_handed: Callable[[Path], bool] = _is_handed) -> Path | None:
    """Return the group below which others may be made; None where there is none.

    Args:
        own: ``/proc/self/cgroup``, which names the group of this process.
        root: Where the hierarchy is mounted.
        is_handed: Whether a group is its user's to divide.
    """
    try:
        name = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
        parent = (root / name.lstrip("/")).parent
        if not is_handed(parent):
            return None
        control = parent / "cgroup.subtree_control"
        if not set(control.read_text().split()) >= _NEEDED:
            control.write_text(" ".join(f"+{controller}" for controller in sorted(_NEEDED)))
    except (OSError, StopIteration):
        return None
    return parent if os.access(parent / "cgroup.procs", os.W_OK) else None


class Cgroup:
    """The group of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def make(cls, path: Path, pid: int, size: Size) -> Self:
        """Make a group with limits, and put a process into it."""
        with contextlib.suppress(OSError):
            # Of another process with this number, whose parent was killed: its counts are not this one's.
            path.rmdir()
        path.mkdir(exist_ok=True)
        (path / "memory.max").write_text(str(size.memory_bytes))
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # a kernel without swap accounting has no such file
                (path / name).write_text(value)
        (path / "cpu.max").write_text(f"{round(size.cpus * _PERIOD_US)} {_PERIOD_US}")
        (path / "cgroup.procs").write_text(str(pid))
        return cls(path)

    def was_out_of_memory(self) -> bool:
        """Return whether the kernel has killed something in it for its memory."""
        try:
            counts = dict(line.split() for line in (self._path / "memory.events").read_text().splitlines())
        except (OSError, ValueError):
            return False
        return int(counts.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Remove it, and kill what is left in it."""
        with contextlib.suppress(OSError):
            (self._path / "cgroup.kill").write_text("1")
        until_s = time.monotonic() + _REMOVAL_S
        while time.monotonic() < until_s:
            try:
                self._path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.005)
            else:
                return
