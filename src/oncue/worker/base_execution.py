"""Base execution: what a run can do alike, whether its code is called in the worker or in a process of its own.

Life of a run, this module's part::

    user code -> sdk/execution.current -> BaseExecution, as worker/runs.HeldRun or worker/isolation/remote.RemoteRun
"""

import abc
import asyncio
import enum
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from oncue import telemetry
from oncue.protocol.errors import CallDiffers, OncueError, RunCancelled, RunLost, RunStopped
from oncue.sdk.context import Context
from oncue.sdk.metadata_buffer import MetadataBuffer
from oncue.sdk.task import Task
from oncue.worker.metadata_flushing import MetadataFlusher

T = TypeVar("T")

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


class BaseExecution(abc.ABC):
    """One execution of a run; a part of ``oncue.sdk.execution.Execution``."""

    __slots__ = ("_flusher", "epoch", "run_id", "stopped", "task", "task_id")

    def __init__(self, run_id: str, epoch: int, task_id: str, task: Task[Any, Any] | None) -> None:
        self.run_id = run_id
        self.epoch = epoch
        self.task_id = task_id
        self.task = task
        """None where this worker does not have it."""
        self.stopped: Stop | None = None
        self._flusher: MetadataFlusher | None = None

    @property
    @abc.abstractmethod
    def context(self) -> Context:
        """What the task is told about its run."""

    @property
    @abc.abstractmethod
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where its waits and its requests belong."""

    @property
    @abc.abstractmethod
    def loop_thread_id(self) -> int:
        """The thread of that loop."""

    @property
    def blocks_thread(self) -> bool:
        """Whether the task is a plain function on a thread of its own."""
        return self.task is not None and not self.task.is_async

    @abc.abstractmethod
    def stand_still(self) -> None:
        """Count no compute time from now on: its documents are on their way. On any thread."""

    @abc.abstractmethod
    def go_on(self) -> None:
        """Count compute time again. On any thread."""

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

    def unsent_metadata(self) -> Coroutine[Any, Any, None] | None:
        """Return what stores the metadata that the server does not know; None where it knows all."""
        if self._flusher is None or self._flusher.buffer.is_empty:
            return None
        return self._flusher.finish()

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
        flusher, loop = self._made_flusher(), self.loop
        if asyncio.get_running_loop() is loop:
            await flusher.flush(refresh=refresh)
        else:
            # User code on a loop of its own, in a thread it started: requests belong to the worker's loop.
            flushing = asyncio.run_coroutine_threadsafe(flusher.flush(refresh=refresh), loop)
            await asyncio.wrap_future(flushing)

    def block_on(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's loop and block this thread until it is done."""
        if threading.get_ident() == self.loop_thread_id:
            waiting.close()
            raise OncueError(f"task {self.task_id!r} would block its own event loop; await the call without .sync")
        if self.stopped is not None:
            waiting.close()
            raise self.stopped.error()
        return asyncio.run_coroutine_threadsafe(waiting, self.loop).result()

    def _made_flusher(self) -> MetadataFlusher:
        with _flushers:
            if self._flusher is None:
                self._flusher = MetadataFlusher(self.context.run, self.epoch, self.loop)
            return self._flusher

    def check(self) -> None:
        """Go on only where the run may.

        Raises:
            RunStopped: It must not go on.
        """
        if self.stopped is not None:
            raise self.stopped.error()
