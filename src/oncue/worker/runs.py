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
from typing import Any, Final, Protocol, TypeVar

from oncue import telemetry
from oncue.protocol.errors import CallDiffers, OncueError, RunCancelled, RunLost, RunStopped
from oncue.protocol.logs import Level
from oncue.protocol.work import Assignment, ChildResult, WaitpointSettled
from oncue.sdk.context import Context, context_from
from oncue.sdk.metadata_buffer import MetadataBuffer
from oncue.sdk.task import Task
from oncue.worker.log_shipping import LogShipper
from oncue.worker.metadata_flushing import MetadataFlusher
from oncue.worker.parking import Parking
from oncue.worker.places import Places
from oncue.worker.time_limit import TimeLimit

T = TypeVar("T")
_NS_PER_MS: Final = 1_000_000
_WAITING_CALLS: Final = frozenset({"wait", "batch-wait", "moment", "token"})
"""Kinds of durable calls that end in a wait."""

_flushers: Final = threading.Lock()
"""Held while a run gets its flusher, so that two threads of one run get the same."""


class Stop(enum.Enum):
    """Why an execution must not go on."""

    CANCELLED = "it was cancelled"
    LOST = "its lease was lost"
    HANDED_BACK = "the worker stops"
    UNLOADED = "it waits without a worker, and starts again when what it waits for is there"
    OUT_OF_TIME = "it used up its max_duration"

    def error(self) -> RunStopped:
        """Return what user code gets that asks the worker for something."""
        match self:
            case Stop.CANCELLED:
                return RunCancelled(f"the run must not go on: {self.value}")
            case Stop.LOST | Stop.HANDED_BACK | Stop.UNLOADED:
                return RunLost(f"this execution must not go on: {self.value}")
            case Stop.OUT_OF_TIME:
                return RunStopped(f"the run must not go on: {self.value}")


class Waiting(Protocol):
    """Who keeps account of the runs that wait; see ``Unloader``."""

    def waits(self, run: "HeldRun", /) -> None:
        """Take note that a run waits for one thing more."""

    def forget(self, run: "HeldRun", /) -> None:
        """Take note that a run waits no more."""


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


class HeldRun:
    """One execution of a run; implements ``oncue.sdk.execution.Execution``."""

    __slots__ = (
        "_assignment",
        "_calling",
        "_calls",
        "_context",
        "_flusher",
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
        "waits_for",
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
        self.waits_for: list[str] = []
        """What it waited for when it was unloaded."""
        self._assignment: Assignment | None = assignment
        self._context: Context | None = None
        self._calling = 0
        """Calls made that will wait and do not yet: what they ask for is on its way to the server."""
        self._calls: dict[str, itertools.count[int]] | None = None
        self._flusher: MetadataFlusher | None = None
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

    @property
    def may_be_unloaded(self) -> bool:
        """Whether it does nothing but wait, and its task allows to start it again.

        A call that is on its way would be lost: what it is to wait for may not be there yet, and would wake nobody.
        """
        return (
            not self.is_over
            and not self.has_place
            and not self._calling
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

    def ran_ms(self) -> int:
        """Return the compute time so far in milliseconds, time without a place left out."""
        if not self._started_at_ns:
            return 0
        until_ns = time.monotonic_ns() if self.has_place else self._parked_at_ns
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
            self._parking.stop(stopped.error() if self.blocks_thread else None)

    def unsent_metadata(self) -> Coroutine[Any, Any, None] | None:
        """Return what stores the metadata that the server does not know; None where it knows all."""
        if self._flusher is None or self._flusher.buffer.is_empty:
            return None
        return self._flusher.finish()

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
                assignment, task_file=file, environment=session.environment, worker_id=session.worker_id
            )
            self._assignment = None
        assert self._context is not None
        return self._context

    @property
    def worker_id(self) -> str:
        """Goes with every write about the run."""
        return self.session.worker_id

    @property
    def blocks_thread(self) -> bool:
        """Whether the task is a plain function on a thread of its own."""
        return self.task is not None and not self.task.is_async

    def call_key(self, kind: str, task: str, key: str | None = None) -> str:
        """Name a durable call, by its idempotency key, or counting from 1.

        Raises:
            RunStopped: The run must not go on.
        """
        self._check()
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

    def note_difference(self, task: str, run_id: str) -> None:
        """Log that a call stands for a run with another payload; an error where the task is strict.

        Raises:
            CallDiffers: The task is strict.
        """
        if self.task is not None and self.task.strict:
            raise CallDiffers(
                f"this run was started again, and its call of {task!r} has another payload than when it made "
                f"{run_id}; let the payload depend on nothing that changes, or drop strict=True to go on with that run"
            )
        telemetry.event("call.differed", run_id=self.run_id, task=self.task_id, called=task, made=run_id)

    def wait_for_run(self, run_id: str) -> Coroutine[Any, Any, ChildResult]:
        """Park until a child has ended."""
        return self._wait(run_id)

    def wait_for_batch(self, batch_id: str) -> Coroutine[Any, Any, Sequence[ChildResult]]:
        """Park until a batch has ended; its results in item order."""
        return self._wait(batch_id)

    def wait_for_waitpoint(self, waitpoint_id: str) -> Coroutine[Any, Any, WaitpointSettled]:
        """Park until a moment has come, or a token was completed or timed out."""
        return self._wait(waitpoint_id)

    @property
    def metadata(self) -> MetadataBuffer:
        """What the run says of itself.

        Raises:
            RunStopped: A plain function that must not go on; once, for its clean-up may say something too.
        """
        flusher = self._made_flusher()
        if self.stopped is not None and self.blocks_thread and not flusher.has_told_stop:
            flusher.has_told_stop = True
            raise self.stopped.error()
        return flusher.buffer

    async def flush_metadata(self, *, refresh: bool) -> None:
        """Store every change of the metadata made so far."""
        flusher, loop = self._made_flusher(), self.session.loop
        if asyncio.get_running_loop() is loop:
            await flusher.flush(refresh=refresh)
        else:
            # User code on a loop of its own, in a thread it started: requests belong to the worker's loop.
            flushing = asyncio.run_coroutine_threadsafe(flusher.flush(refresh=refresh), loop)
            await asyncio.wrap_future(flushing)

    def block_on(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's loop and block this thread until it is done."""
        if threading.get_ident() == self.session.thread_id:
            waiting.close()
            raise OncueError(f"task {self.task_id!r} would block its own event loop; await the call without .sync")
        if self.stopped is not None:
            waiting.close()
            raise self.stopped.error()
        return asyncio.run_coroutine_threadsafe(waiting, self.session.loop).result()

    def _made_flusher(self) -> MetadataFlusher:
        with _flushers:
            if self._flusher is None:
                self._flusher = MetadataFlusher(self.context.run, self.epoch, self.session.loop)
            return self._flusher

    async def _wait(self, target: str) -> Any:  # noqa: ANN401 - see Parking.wait
        self._check()
        loop = self.session.loop
        if asyncio.get_running_loop() is not loop:
            # User code on a loop of its own, in a thread it started: the wait belongs to the worker's loop.
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._wait(target), loop))
        waiter = self.parking.wait(target)
        self._calling = max(0, self._calling - 1)
        return await waiter

    def _check(self) -> None:
        if self.stopped is not None:
            raise self.stopped.error()
