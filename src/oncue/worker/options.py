"""Options: how a worker is started.

What the command line, the tests and a worker's own child processes agree on. Where the server is and with which key
it is spoken to is in ``sdk/settings.py``.
"""

import datetime
import math
from pathlib import Path

import msgspec

from oncue.protocol import limits, names
from oncue.protocol.errors import SettingsError


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and how much of it at once.

    Raises:
        SettingsError: A value makes no sense.
    """

    targets: tuple[str, ...]
    """Modules (``my_app.tasks``), files (``tasks.py``) or folders in which tasks are declared."""
    concurrency: int = 100
    """Runs that each process executes at once, 1 to 1,000. A run that waits for another is not counted."""
    max_parked: int = 10_000
    """Runs that wait and are kept in memory by each process; beyond it those parked longest are unloaded. 0 or more."""
    max_memory_bytes: int | None = None
    """Resident size of each process from which on runs that wait are unloaded; None: none. Linux only."""
    processes: int = 1
    queues: tuple[str, ...] | None = None
    """Serve these queues only; None: every queue."""
    grace: datetime.timedelta = datetime.timedelta(seconds=30)
    """How long runs may go on once the worker has been told to stop."""
    version: str | None = None
    """Version of the deployed code, for runs that are locked to one."""

    region: str | None = None
    """Where the worker is; None: nowhere that runs ask for."""

    cpus: float | None = None
    """CPUs that all processes together have for runs that are held to machines; None: what there are."""
    memory_bytes: int | None = None
    """Memory likewise."""

    log_level: str = "INFO"
    """Of the least important events that child processes log; one process logs as its program says."""

    def __post_init__(self) -> None:
        if not self.targets:
            raise SettingsError("nothing to run; expected a module (my_app.tasks), a file (tasks.py) or a folder")
        if not 1 <= self.concurrency <= limits.MAX_PLACES:
            raise SettingsError(f"concurrency={self.concurrency} is out of range; expected 1 to {limits.MAX_PLACES:,}")
        if self.region is not None and not names.is_region(self.region):
            raise SettingsError(f"region={self.region[:60]!r} is not a region's name; expected {names.REGION_FORM}")
        if self.version is not None and not names.is_version(self.version):
            raise SettingsError(f"version={self.version[:60]!r} is not a version; expected {names.VERSION_FORM}")
        self._check_sizes()
        if self.grace < datetime.timedelta():
            raise SettingsError(f"grace={self.grace} is negative; expected a length of time such as 30 s")

    def _check_sizes(self) -> None:
        if self.cpus is not None and not 0 < self.cpus < math.inf:
            raise SettingsError(f"cpus={self.cpus} is out of range; expected a number of CPUs, such as 1.5")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise SettingsError(f"memory={self.memory_bytes} is out of range; expected 1 byte or more")
        if self.max_parked < 0:
            raise SettingsError(f"max_parked={self.max_parked} is out of range; expected 0 or more")
        if self.max_memory_bytes is not None and not Path("/proc/self/statm").exists():
            raise SettingsError(
                "max_memory is set, and this system does not tell how much a process takes; leave it out"
            )
        if self.processes < 1:
            raise SettingsError(f"processes={self.processes} is out of range; expected 1 or more")
