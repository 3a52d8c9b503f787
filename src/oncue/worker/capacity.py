"""Capacity: the CPUs and the memory that a worker has for runs that are held to machines.

What the operator says, else what this process may use of the machine: a container's limits count.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from oncue.protocol.machines import Size
from oncue.worker.options import WorkerOptions

_CGROUP: Final = Path("/sys/fs/cgroup")


def of(options: WorkerOptions) -> Size:
    """Return what a worker has with all its processes."""
    return Size(options.cpus or _cpus(_CGROUP), options.memory_bytes or _memory_bytes(_CGROUP))


def share(options: WorkerOptions) -> WorkerOptions:
    """Return the options of one of several processes, among which what there is is divided."""
    cpus, memory_bytes = of(options)
    count = options.processes
    return msgspec.structs.replace(options, processes=1, cpus=cpus / count, memory_bytes=memory_bytes // count)


def _cpus(cgroup: Path) -> float:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # no such limit: "max", or no such file
        quota, period = (cgroup / "cpu.max").read_text().split()
        return min(count, int(quota) / int(period))
    return count


def _memory_bytes(cgroup: Path) -> int:
    if not hasattr(os, "sysconf"):
        return 0
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int((cgroup / name).read_text()))
    return total
