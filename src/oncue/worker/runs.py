"""Runs: the executions that this worker holds, and what user code can ask of each.

Holds the state of one execution; what happens to it is decided in ``executor.py``, and how it waits in
``parking.py``. Kept small: ten thousand of them may be parked.

Life of a run, this module's part::

    Assignment -> worker/executor -> HeldRun -> sdk/execution.current -> user code
"""

import asyncio
import enum
import itertools
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from oncue.protocol.errors import OncueError, RunCancelled, RunLost, RunStopped
from oncue.protocol.work import Assignment, ChildResult
from oncue.sdk.context import Context, context_from
from oncue.sdk.task import Task
from oncue.worker.parking import Parking
from oncue.worker.places import Places
from oncue.worker.time_limit import TimeLimit

T = TypeVar("T")
_NS_PER_MS: Final = 1_000_000


class Stop(enum.Enum):
    """Why an execution must not go on."""

    CANCELLED = "it was cancelled"
    LOST = "its lease was lost"
    HANDED_BACK = "the worker stops"
    OUT_OF_TIME = "it used up its max_duration"

    def error(self) -> RunStopped:
        """Return what user code gets that asks the worker for something."""
        match self:
            case Stop.CANCELLED:
                return RunCancelled(f"the run must not go on: {self.value}")
            case Stop.LOST | Stop.HANDED_BACK:
                return RunLost(f"this execution must not go on: {self.value}")
            case Stop.OUT_OF_TIME:
                return RunStopped(f"the run must not go on: {self.value}")


class Session:
    """What the runs of one announcement share."""

    __slots__ = ("environment", "loop", "places", "thread_id", "worker_id")

    def __init__(self, worker_id: str, environment: str, places: Places) -> None:
        self.worker_id = worker_id
        self.environment = environment
        self.places = places
        self.loop = asyncio.get_running_loop()
        self.thread_id = threading.get_ident()


class HeldRun:
    """One execution of a run; implements ``oncue.sdk.execution.Execution``."""

    __slots__ = (
        "_assignment",
        "_calls",
        "_context",
        "_parked_at_ns",
        "_parked_ns",
        "_parking",
        "_started_at_ns",
        "epoch",
        "future",
        "has_place",
        "is_done",
        "limit",
        "run_id",
        "session",
        "stopped",
        "task",
        "task_id",
    )  # fmt: skip

    def __init__(self, assignment: Assignment, task: Task[Any, Any] | None, session: Session) -> None:
        self.run_id = assignment.run_id
        self.epoch = assignment.epoch
        self.task_id = assignment.task
        self.task = task
        """None where this worker does not have it."""
        self.session = session
        self.has_place = False
        self.is_done = False
        self.stopped: Stop | None = None
        self.future: asyncio.Task[None] | None = None
        """What executes an async task."""
        self.limit: TimeLimit | None = None
        self._assignment: Assignment | None = assignment
        self._context: Context | None = None
        self._calls: dict[str, itertools.count[int]] | None = None
        self._parking: Parking | None = None
        self._started_at_ns = 0
        self._parked_at_ns = 0
        self._parked_ns = 0

    @property
    def assignment(self) -> Assignment:
        """What was handed out; only until the task's code runs."""
        assert self._assignment is not None
        return self._assignment

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

    def unpark(self) -> None:
        """Note that it has a place again."""
        self.has_place = True
        self._parked_ns += time.monotonic_ns() - self._parked_at_ns
        if self.limit is not None:
            self.limit.go()

    def ran_ms(self) -> int:
        """Return the compute time so far in milliseconds, time without a place left out."""
        if not self._started_at_ns:
            return 0
        until_ns = time.monotonic_ns() if self.has_place else self._parked_at_ns
        return (until_ns - self._started_at_ns - self._parked_ns) // _NS_PER_MS

    def interrupt(self, stopped: Stop) -> None:
        """Make its code stop: an async task is cancelled, a plain function gets an error at its next call of oncue."""
        self.stopped = stopped
        if self.future is not None:
            self.future.cancel(stopped.value)
        if self._parking is not None:
            self._parking.stop(stopped.error() if self.blocks_thread else None)

    # What follows is the protocol that user code meets.

    @property
    def context(self) -> Context:
        """What the task is told about its run."""
        if self._context is None:
            file = None if self.task is None else self.task.file
            session = self.session
            self._context = context_from(
                self.assignment, task_file=file, environment=session.environment, worker_id=session.worker_id
            )
            self._assignment = None
        return self._context

    @property
    def worker_id(self) -> str:
        """Goes with every write about the run."""
        return self.session.worker_id

    @property
    def blocks_thread(self) -> bool:
        """Whether the task is a plain function on a thread of its own."""
        return self.task is not None and not self.task.is_async

    def call_key(self, kind: str, task: str) -> str:
        """Name a durable call, counting from 1.

        Raises:
            RunStopped: The run must not go on.
        """
        self._check()
        if self._calls is None:
            self._calls = {}
        name = f"{kind}:{task}"
        # setdefault and next are atomic each, for plain functions that start threads.
        return f"{name}#{next(self._calls.setdefault(name, itertools.count(1)))}"

    def wait_for_run(self, run_id: str) -> Coroutine[Any, Any, ChildResult]:
        """Park until a child has ended."""
        return self._wait(run_id)

    def wait_for_batch(self, batch_id: str) -> Coroutine[Any, Any, Sequence[ChildResult]]:
        """Park until a batch has ended; its results in item order."""
        return self._wait(batch_id)

    def block_on(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's loop and block this thread until it is done."""
        if threading.get_ident() == self.session.thread_id:
            waiting.close()
            raise OncueError(f"task {self.task_id!r} would block its own event loop; await the call without .sync")
        if self.stopped is not None:
            waiting.close()
            raise self.stopped.error()
        return asyncio.run_coroutine_threadsafe(waiting, self.session.loop).result()

    async def _wait(self, target: str) -> Any:  # noqa: ANN401 - see Parking.wait
        self._check()
        loop = self.session.loop
        if asyncio.get_running_loop() is not loop:
            # User code on a loop of its own, in a thread it started: the wait belongs to the worker's loop.
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._wait(target), loop))
        return await self.parking.wait(target)

    def _check(self) -> None:
        if self.stopped is not None:
            raise self.stopped.error()
