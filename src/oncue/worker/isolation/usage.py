"""Usage: what a process and its descendants use of memory and CPUs, as Linux tells in ``/proc``."""

import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = resource.getpagesize()
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_KB: Final = 1024


def is_known() -> bool:
    """Whether this system tells."""
    return (_PROC / "self" / "statm").exists()


def family(pid: int) -> list[int]:
    """Return a process and its descendants that have not left it, parents first."""
    found = [pid]
    for member in found:
        found += children(member)
    return found


def children(pid: int) -> list[int]:
    """Return a process's own children; none where it has ended."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - called often; a Path costs more
            with open(f"/proc/{pid}/task/{thread}/children") as listed:  # noqa: PTH123 - same
                found += [int(child) for child in listed.read().split()]
    except OSError:
        return found
    return found


def memory_exceeds(pids: Iterable[int], limit_bytes: int) -> bool:
    """Return whether processes have more resident than a limit; what they share with others counts in part."""
    pids = list(pids)
    if sum(_resident_bytes(pid) for pid in pids) <= limit_bytes:
        return False
    # The sum counts what they share once for each; to know better takes longer.
    return sum(_proportional_bytes(pid) for pid in pids) > limit_bytes


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and of those of their children that have ended, in seconds."""
    ticks = 0
    for pid in pids:
        # The name of the program stands in parentheses, and may hold any character.
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def writable_bytes() -> int:
    """Return the writable memory that this process has mapped; 0 where the system does not tell."""
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * _KB
    return 0


def _resident_bytes(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _proportional_bytes(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * _KB
    return _resident_bytes(pid)


def _read(path: str) -> str:
    """Return what a file says; nothing where the process has ended."""
    try:
        with open(path) as file:  # noqa: PTH123 - called often; a Path costs more
            return file.read()
    except OSError:
        return ""
