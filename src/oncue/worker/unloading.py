"""Unloading: let go of runs that wait, so that they take no memory here.

An unloaded run starts again from the top, on whatever worker has a place, when something that it waits for is there;
its journal gives it what its calls made before. That is done where too many runs are parked, where the process has
grown beyond its memory, where another run is to have the memory of an isolated one, when the worker is told to stop,
and, to show that it makes no difference, at every wait. Those parked longest go first. A task with ``evict=False`` is
left alone.

Life of a run, this module's part::

    worker/runs.park -> Unloader.parked -> Executor.stop(UNLOADED) -> Unloaded -> engine/unloading
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from oncue import telemetry
from oncue.protocol.machines import SIZES
from oncue.worker.base_execution import Stop
from oncue.worker.runs import HeldRun

_LOOK_S: Final = 1.0
"""How often the size of the process is looked at."""

_TURNS: Final = 5
"""Rounds of the event loop between a wait and its unloading: the code that called comes to its await, and what another
branch does with a result that came at the same moment, such as to end a group of tasks, is done."""

_SHARE: Final = 10
"""One in so many parked runs is unloaded at once where memory is short: it takes a while to see what that brought."""

_STATM: Final = Path("/proc/self/statm")


class Unloader:
    """Decides which parked runs to keep; to be used on the worker's event loop only."""

    def __init__(
        self,
        stop: Callable[[HeldRun, Stop], None],
        *,
        max_parked: int,
        max_memory_bytes: int | None,
        process_bytes: int,
        always: bool,
    ) -> None:
        """Begin with no run.

        Args:
            stop: Ends the execution of a run.
            max_parked: Runs to keep, 0 or more.
            max_memory_bytes: Resident size of the process from which on runs are unloaded; None: none.
            process_bytes: Memory for the processes of isolated runs, each with what its machine has.
            always: Unload at every wait.
        """
        self._stop = stop
        self._max_parked = max_parked
        self._max_memory_bytes = max_memory_bytes
        self._process_bytes = process_bytes
        self._always = always
        self._loop = asyncio.get_running_loop()
        self._is_leaving = False
        self._parked: dict[HeldRun, None] = {}
        self._processes: dict[HeldRun, int] = {}
        """Isolated runs, each with the memory that its process may take."""
        self._begun: set[tuple[str, str]] = set()
        """Waits at which runs were unloaded, where that is done at every wait: at each once. The result of one that is
        over comes a moment after the wait has begun, and to unload the run again in that moment would never end."""
        self._timer: asyncio.TimerHandle | None = None
        if max_memory_bytes is not None:
            self._timer = self._loop.call_later(_LOOK_S, self._look, max_memory_bytes)

    def waits(self, run: HeldRun) -> None:
        """Take note that a run waits for one thing more."""
        self._parked[run] = None
        if self._always or self._is_leaving:
            self._loop.call_soon(self._unload_waiting, run, _TURNS)
        elif len(self._parked) > self._max_parked:
            self._unload(1)

    def forget(self, run: HeldRun) -> None:
        """Take note that a run waits no more."""
        self._parked.pop(run, None)

    def has_process(self, run: HeldRun) -> None:
        """Take note that a run gets a process; those that only wait let theirs go where there is too little memory.

        The server gives out what executing runs leave, and so counts on that.
        """
        assert run.machine is not None
        self._processes[run] = SIZES[run.machine].memory_bytes
        excess_bytes = sum(self._processes.values()) - self._process_bytes
        for parked in [parked for parked in self._parked if parked in self._processes and parked.may_be_unloaded]:
            if excess_bytes <= 0:
                return
            excess_bytes -= self._processes[parked]
            self._stop(parked, Stop.UNLOADED)

    def has_none(self, run: HeldRun) -> None:
        """Take note that a run's process has ended."""
        self._processes.pop(run, None)

    def unload_all(self) -> int:
        """Unload what may be, and from now on at every wait: the worker stops. Returns how many those were."""
        self._is_leaving = True
        return self._unload(len(self._parked))

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, max_bytes: int) -> None:
        resident = resident_bytes()
        if resident is not None and resident > max_bytes and self._parked:
            unloaded = self._unload(1 + len(self._parked) // _SHARE)
            if unloaded:
                telemetry.event("runs.unloaded", runs=unloaded, resident_mb=resident >> 20, limit_mb=max_bytes >> 20)
        self._timer = self._loop.call_later(_LOOK_S, self._look, max_bytes)

    def _unload(self, count: int) -> int:
        chosen: list[HeldRun] = []
        for run in self._parked:
            if len(chosen) >= count:
                break
            if run.may_be_unloaded:
                chosen.append(run)
        for run in chosen:
            self._stop(run, Stop.UNLOADED)
        return len(chosen)

    def _unload_waiting(self, run: HeldRun, turns: int) -> None:
        if run not in self._parked or not run.may_be_unloaded:
            return
        if turns:
            self._loop.call_soon(self._unload_waiting, run, turns - 1)
            return
        begun = {(run.run_id, target) for target in run.parking.open_targets()}
        if self._is_leaving or begun - self._begun:
            self._begun |= begun
            self._stop(run, Stop.UNLOADED)


def resident_bytes() -> int | None:
    """Return the memory that this process takes; None where the system does not tell."""
    import resource

    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()
