"""Runs: the executions that this worker holds, and what user code can ask of each.

Holds the state of one execution; what happens to it is decided in ``executor.py``, and how it waits in
``parking.py``. Kept small: ten thousand of them may be parked.

Life of a run, this module's part::

    Assignment -> worker/executor -> HeldRun -> sdk/execution.current -> user code
"""

import asyncio
import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

from oncue.protocol import machines
from oncue.protocol.errors import RunLost
from oncue.protocol.logs import Level
from oncue.protocol.work import Assignment, ChildResult, WaitpointSettled
from oncue.sdk.context import Context, context_from
from oncue.sdk.task import Task
from oncue.worker.base_execution import BaseExecution, Stop
from oncue.worker.log_shipping import LogShipper
from oncue.worker.parking import Branch, Parking
from oncue.worker.places import Places
from oncue.worker.time_limit import TimeLimit

T = TypeVar("T")
_NS_PER_MS: Final = 1_000_000
_WAITING_CALLS: Final = frozenset({"wait", "batch-wait", "moment", "token"})
"""Kinds of durable calls that end in a wait."""


class Waiting(Protocol):
    """Who keeps account of the runs that wait; see ``Unloader``."""

    def waits(self, run: "HeldRun", /) -> None:
        """Take note that a run waits for one thing more."""

    def forget(self, run: "HeldRun", /) -> None:
        """Take note that a run waits no more."""

    def has_process(self, run: "HeldRun", /) -> None:
        """Take note that a run gets a process of its own, which takes the memory of its machine."""

    def has_none(self, run: "HeldRun", /) -> None:
        """Take note that it has it no more."""


class Session:
    """What the runs of one announcement share."""

    __slots__ = ("environment", "logs", "loop", "places", "thread_id", "waiting", "worker_id")

    def __init__(self, worker_id: str, environment: str, places: Places, waiting: Waiting, logs: LogShipper) -> None:
        self.worker_id = worker_id
        self.environment = environment
        self.places = places
        self.waiting = waiting
        self.logs = logs
        self.loop = asyncio.get_running_loop()
        self.thread_id = threading.get_ident()


class HeldRun(BaseExecution):
    """One execution of a run; implements ``oncue.sdk.execution.Execution``."""

    __slots__ = (
        "_assignment",
        "_calling",
        "_calls",
        "_context",
        "_parked_at_ns",
        "_parked_ns",
        "_parking",
        "_stands_still",
        "_started_at_ns",
        "_stays",
        "future",
        "has_place",
        "is_done",
        "limit",
        "machine",
        "session",
        "waits_for",
    )  # fmt: skip

    def __init__(self, assignment: Assignment, task: Task[Any, Any] | None, session: Session) -> None:
        super().__init__(assignment.run_id, assignment.epoch, assignment.task, task)
        self.session = session
        self.machine = machine_of(assignment, task)
        """What it is held to in a process of its own; None where its code is called in the worker's."""
        self.has_place = False
        self.is_done = False
        self.future: asyncio.Task[None] | None = None
        """What executes an async task, or has it executed in a process of its own."""
        self.limit: TimeLimit | None = None
        self.waits_for: list[str] = []
        """What it waited for when it was unloaded."""
        self._assignment: Assignment | None = assignment
        self._context: Context | None = None
        self._calling = 0
        """Calls made that will wait and do not yet: what they ask for is on its way to the server."""
        self._stays = 0
        """Waits that will be over in a moment, for which it is not to be unloaded."""
        self._calls: dict[str, itertools.count[int]] | None = None
        self._parking: Parking | None = None
        self._started_at_ns = 0
        self._stands_still = False
        self._parked_at_ns = 0
        self._parked_ns = 0

    @property
    def assignment(self) -> Assignment:
        """What was handed out; only until the task's code runs."""
        assert self._assignment is not None
        return self._assignment

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The worker's."""
        return self.session.loop

    @property
    def loop_thread_id(self) -> int:
        """The worker's main thread."""
        return self.session.thread_id

    @property
    def has_begun(self) -> bool:
        """Whether it ever had a place."""
        return self._started_at_ns > 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or was told to."""
        return self.is_done or self.stopped is not None

    @property
    def places(self) -> Places:
        """Where its place comes from."""
        return self.session.places

    @property
    def parking(self) -> Parking:
        """What it waits for."""
        if self._parking is None:
            self._parking = Parking(self)
        return self._parking

    @property
    def may_be_unloaded(self) -> bool:
        """Whether it does nothing but wait, and its task allows to start it again.

        A call that is on its way would be lost: what it is to wait for may not be there yet, and would wake nobody.
        """
        return (
            not self.is_over
            and not self.has_place
            and not self._calling
            and not self._stays
            and self._parking is not None
            and self._parking.is_quiet
            and self.task is not None
            and self.task.evict
        )

    def begin(self) -> None:
        """Note that it has a place and starts."""
        self.has_place = True
        self._started_at_ns = time.monotonic_ns()
        if self.limit is not None:
            self.limit.go()

    def park(self) -> None:
        """Give the place back, until ``unpark``."""
        _ = self.context  # which lets go of the assignment, and with it of the payload
        self.has_place = False
        self._parked_at_ns = time.monotonic_ns()
        if self.limit is not None:
            self.limit.pause()
        self.session.places.give_back()

    def stand_still(self) -> None:
        """Count no compute time from now on; the place stays its own."""
        if threading.get_ident() != self.session.thread_id:
            self.session.loop.call_soon_threadsafe(self.stand_still)
        elif not self._stands_still and self.has_place:
            self._stands_still = True
            self._parked_at_ns = time.monotonic_ns()
            if self.limit is not None:
                self.limit.pause()

    def go_on(self) -> None:
        """Count compute time again."""
        if threading.get_ident() != self.session.thread_id:
            self.session.loop.call_soon_threadsafe(self.go_on)
        elif self._stands_still:
            self._stands_still = False
            self._parked_ns += time.monotonic_ns() - self._parked_at_ns
            if self.limit is not None and not self.is_over:
                self.limit.go()

    def waits(self) -> None:
        """Note that it waits for one thing more, and holds no place."""
        self.session.waiting.waits(self)

    def unpark(self) -> None:
        """Note that it has a place again."""
        self.session.waiting.forget(self)
        self.has_place = True
        self._parked_ns += time.monotonic_ns() - self._parked_at_ns
        if self.limit is not None:
            self.limit.go()

    def give_up_waits(self) -> None:
        """End the waits of branches that the task has left behind: nobody will settle them."""
        if self._parking is not None:
            ended = RunLost("this execution has ended") if self.blocks_thread and self.machine is None else None
            self._parking.stop(ended)

    def ran_ms(self) -> int:
        """Return the compute time so far in milliseconds, time without a place left out."""
        if not self._started_at_ns:
            return 0
        until_ns = time.monotonic_ns() if self.has_place and not self._stands_still else self._parked_at_ns
        return (until_ns - self._started_at_ns - self._parked_ns) // _NS_PER_MS

    def interrupt(self, stopped: Stop) -> None:
        """Make its code stop: an async task is cancelled, a plain function gets an error at its next call of oncue."""
        self.stopped = stopped
        if self._parking is not None:
            self.session.waiting.forget(self)
            if stopped is Stop.UNLOADED:
                self.waits_for = self._parking.open_targets()
        if self.future is not None:
            self.future.cancel(stopped.value)
        if self._parking is not None:
            self._parking.stop(stopped.error() if self.blocks_thread and self.machine is None else None)

    # What follows is the protocol that user code meets.

    @property
    def context(self) -> Context:
        """What the task is told about its run."""
        assignment = self._assignment
        # Two threads of a task may come here at once: the one that finds no assignment finds the context.
        if self._context is None and assignment is not None:
            file = None if self.task is None else self.task.file
            session = self.session
            self._context = context_from(
                assignment,
                task_file=file,
                environment=session.environment,
                worker_id=session.worker_id,
                machine=self.machine,
            )
            self._assignment = None
        assert self._context is not None
        return self._context

    @property
    def worker_id(self) -> str:
        """Goes with every write about the run."""
        return self.session.worker_id

    def call_key(self, kind: str, task: str, key: str | None = None) -> str:
        """Name a durable call, by its idempotency key, or counting from 1.

        Raises:
            RunStopped: The run must not go on.
        """
        self.check()
        if kind in _WAITING_CALLS:
            self._calling += 1
        name = f"{kind}:{task}"
        if key is not None:
            return f"{name}={key}"
        if self._calls is None:
            self._calls = {}
        # setdefault and next are atomic each, for plain functions that start threads.
        return f"{name}#{next(self._calls.setdefault(name, itertools.count(1)))}"

    def log(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        """Attach a line to the run."""
        self.session.logs.add(self.run_id, self.epoch, self.context.attempt.number, level, message, fields=fields)

    def wait_for_run(self, run_id: str) -> Coroutine[Any, Any, ChildResult]:
        """Park until a child has ended."""
        return self._wait(run_id)

    def wait_for_batch(self, batch_id: str, *, stays: bool = False) -> Coroutine[Any, Any, Sequence[ChildResult]]:
        """Park until a batch has ended; its results in item order."""
        return self._stay(batch_id) if stays else self._wait(batch_id)

    def wait_for_waitpoint(self, waitpoint_id: str) -> Coroutine[Any, Any, WaitpointSettled]:
        """Park until a moment has come, or a token was completed or timed out."""
        return self._wait(waitpoint_id)

    async def _wait(self, target: str) -> Any:  # noqa: ANN401 - see Parking.wait
        self.check()
        loop = self.session.loop
        if asyncio.get_running_loop() is not loop:
            # User code on a loop of its own, in a thread it started: the wait belongs to the worker's loop.
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._wait(target), loop))
        return await self.begin_wait(target)

    async def _stay(self, target: str) -> Any:  # noqa: ANN401 - see Parking.wait
        with self.staying():
            return await self._wait(target)

    @contextlib.contextmanager
    def staying(self) -> Iterator[None]:
        """Keep the run loaded."""
        self._stays += 1
        try:
            yield
        finally:
            self._stays -= 1

    def begin_wait(self, target: str, branch: Branch | None = None) -> asyncio.Future[Any]:
        """Begin to wait on the worker's loop; see ``Parking.wait``."""
        waiter = self.parking.wait(target, branch)
        self._calling = max(0, self._calling - 1)
        return waiter


def machine_of(assignment: Assignment, task: Task[Any, Any] | None) -> str | None:
    """Return what a run is held to, if it is: where its task says so, or it was given another than the default.

    Elsewhere than on Linux nothing is held to anything: a copy of a process that has not begun anew is not sound there.
    """
    if sys.platform != "linux":
        return None
    is_isolated = (task is not None and task.is_isolated) or assignment.machine != machines.DEFAULT
    return assignment.machine if is_isolated else None
