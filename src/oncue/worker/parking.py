"""Parking: a run that waits for others holds nothing but memory.

Whoever starts to wait gives the run's place back; whoever gets the last result takes one again before the code goes
on, ahead of runs that start. While a run waits for several things at once, code that goes on after one of them does so
without a place: the run as a whole still waits. The server does the same with the slots of queues, and says with a
notice's ``resumes`` that the run holds them again.

A result may come before the wait for it (the answer to the trigger is still on its way), may come for a wait that the
task has given up, and may be asked for twice; so results are kept, the small and the recent ones, until the run ends.

Life of a run, this module's part::

    sdk/task -> Execution.wait_for_run -> Parking.wait | worker/notices -> Parking.settle -> user code goes on
"""

import asyncio
import weakref
from typing import Any, Final, Protocol

from oncue.protocol.errors import RunStopped
from oncue.worker.places import Places

KEPT_BYTES: Final = 1024 * 1024
"""Results that were handed over are kept up to this size per run, for calls in flight that wait for the same child."""

_ENTRY_BYTES: Final = 512
"""What an entry takes beside its value, roughly, so that many empty results add up as well."""


class Branch(Protocol):
    """A branch of a run's code: a task of asyncio, or what stands for one in another process."""

    def done(self) -> bool:
        """Whether it has ended."""


class Parked(Protocol):
    """What parking asks of the run it belongs to."""

    @property
    def places(self) -> Places:
        """Where its place comes from."""

    @property
    def has_place(self) -> bool:
        """Whether it holds one."""

    @property
    def is_over(self) -> bool:
        """It has ended, or was told to."""

    def park(self) -> None:
        """Give the place back."""

    def unpark(self) -> None:
        """Note that a place was taken for it."""

    def waits(self) -> None:
        """Note that it waits for one thing more."""


class _Wait:
    """One thing that the run waits for, by its id."""

    __slots__ = ("error", "is_known", "is_open", "size_bytes", "value", "waiters", "was_read")

    def __init__(self) -> None:
        self.waiters: list[tuple[asyncio.Future[Any], Branch | None]] = []
        """Each with the branch of the run's code that waits."""
        self.is_known = False
        """The result is here."""
        self.is_open = False
        """The result may be read: the run need not stand in line for it."""
        self.was_read = False
        self.value: Any = None
        self.error: Exception | None = None
        self.size_bytes = 0

    def give(self, waiter: asyncio.Future[Any]) -> None:
        """Give the result to one who waits for it."""
        self.was_read = True
        if self.error is None:
            waiter.set_result(self.value)
        else:
            waiter.set_exception(self.error)


class Parking:
    """What one run waits for; to be used on the worker's event loop only."""

    __slots__ = ("_arrived", "_at_work", "_has_given", "_kept_bytes", "_resumed", "_run", "_unknown", "_waits")

    def __init__(self, run: Parked) -> None:
        self._run = run
        self._waits: dict[str, _Wait] = {}
        self._unknown = 0
        """Waits whose result is not here yet."""
        self._arrived: list[_Wait] | None = None
        """Results for which the run is in line; None: it is not in line."""
        self._resumed = False
        self._has_given = False
        """A result was given to code while the run waits for others: it may do something with it beside these."""
        self._at_work: weakref.WeakSet[Branch] | None = None
        """Branches of the code that got a result and have not begun another wait since; some may have ended."""
        self._kept_bytes = 0

    @property
    def is_quiet(self) -> bool:
        """Whether all that is known of the run is that it waits: no result is on its way to its code, or at work."""
        if not self._unknown or self._arrived is not None or self._has_given:
            return False
        return self._at_work is None or all(branch.done() for branch in self._at_work)

    def open_targets(self) -> list[str]:
        """Return what it waits for."""
        return [target for target, wait in self._waits.items() if not wait.is_known]

    def wait(self, target: str, branch: Branch | None = None) -> asyncio.Future[Any]:
        """Begin to wait for a run or a batch.

        No coroutine, which would be one more thing to keep for each parked run.

        Args:
            target: Its id.
            branch: Who waits; None: the current task.

        Returns:
            What is settled: a child's result, or a list of them; or the error it is settled with. Where it is
            cancelled the wait itself stays, as the server knows it.
        """
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        branch = branch or asyncio.current_task()
        wait = self._waits.get(target)
        if wait is not None and wait.is_open:
            self._give(wait, waiter, branch)
            return waiter
        if not self._unknown:
            self._has_given = False
        if self._at_work is not None and branch is not None:
            self._at_work.discard(branch)
        if wait is None:
            wait = self._waits[target] = _Wait()
            self._unknown += 1
            self._resumed = False
            if self._run.has_place:
                self._run.park()
        wait.waiters.append((waiter, branch))
        self._run.waits()
        return waiter

    def settle(
        self, target: str, value: object, *, error: Exception | None = None, size_bytes: int = 0, resumes: bool
    ) -> None:
        """Bring the result of what the run waits for, or will wait for in a moment.

        Args:
            target: Id of the run or batch.
            value: What ``wait`` returns.
            error: What ``wait`` raises instead.
            size_bytes: Size of the value.
            resumes: The run holds its slots again; it goes on as soon as there is a place.
        """
        wait = self._waits.get(target)
        if wait is None:
            wait = self._waits[target] = _Wait()
        elif not wait.is_known:
            self._unknown -= 1
        wait.is_known = True
        wait.value, wait.error, wait.size_bytes = value, error, size_bytes + _ENTRY_BYTES
        self._resumed = (self._resumed or resumes) and not self._run.has_place
        if self._arrived is not None:
            self._arrived.append(wait)
        elif self._resumed and not self._unknown:
            self._arrived = [wait]
            self._run.places.resume_when_free(self._take_place)
        else:
            self._open(wait)

    def stop(self, error: RunStopped | None) -> None:
        """End every wait: with an error, or cancelled where there is none."""
        for wait in self._waits.values():
            for waiter, _ in wait.waiters:
                if waiter.done():
                    continue
                if error is None:
                    waiter.cancel()
                else:
                    waiter.set_exception(error)

    def _take_place(self) -> bool:
        arrived, self._arrived = self._arrived or [], None
        # Where code of this run has begun another wait meanwhile, the run waits on and needs no place.
        wanted = not self._run.is_over and not self._unknown
        if wanted:
            self._resumed = False
            self._run.unpark()
        for wait in arrived:
            self._open(wait)
        return wanted

    def _open(self, wait: _Wait) -> None:
        if not wait.is_open:
            self._kept_bytes += wait.size_bytes
        wait.is_open = True
        waiters, wait.waiters = wait.waiters, []
        for waiter, branch in waiters:
            self._give(wait, waiter, branch)
        if self._kept_bytes > KEPT_BYTES:
            self._forget(wait)

    def _give(self, wait: _Wait, waiter: asyncio.Future[Any], branch: Branch | None) -> None:
        if waiter.done():
            return
        self._has_given = True
        if branch is not None:
            if self._at_work is None:
                # Weak: a branch that has ended is not to be kept, with what it returned, until the run ends.
                self._at_work = weakref.WeakSet()
            self._at_work.add(branch)
        wait.give(waiter)

    def _forget(self, latest: _Wait) -> None:
        """Drop results that have been read, oldest first, but not the latest."""
        read = [(target, wait) for target, wait in self._waits.items() if wait.was_read and wait is not latest]
        for target, wait in read:
            self._kept_bytes -= wait.size_bytes
            del self._waits[target]
            if self._kept_bytes <= KEPT_BYTES // 2:
                return
