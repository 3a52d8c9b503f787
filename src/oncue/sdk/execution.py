"""Execution: what a run can ask of the worker that executes it.

The SDK knows the worker only through this protocol, so that ``oncue.sdk`` never imports ``oncue.worker``. The worker
sets ``current`` before it calls user code; where it is not set, no run is executing.

Life of a run, this module's part::

    worker/executor sets current -> user code -> sdk/task.trigger_and_wait -> current.wait_for_run -> worker/parking
"""

from collections.abc import Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar

from oncue.protocol.logs import Level
from oncue.protocol.work import ChildResult, WaitpointSettled
from oncue.sdk.context import Context
from oncue.sdk.metadata_buffer import MetadataBuffer

T = TypeVar("T")


class Execution(Protocol):
    """One execution of a run, from the top, under one epoch."""

    @property
    def context(self) -> Context:
        """What the task is told about its run."""

    @property
    def epoch(self) -> int:
        """Goes with every write about the run."""

    @property
    def worker_id(self) -> str:
        """Goes with every write about the run."""

    @property
    def blocks_thread(self) -> bool:
        """Whether the task is a plain function on a thread of its own, which may block."""

    def call_key(self, kind: str, task: str, key: str | None = None) -> str:
        """Name a durable call, ``kind:task=key``, or without a key ``kind:task#n``, counted from 1 in this execution.

        Taken when the function is called, not when it is awaited, so that ``asyncio.gather`` keeps it stable.
        """

    def log(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        """Attach a line to the run; may be called on every thread, and never waits."""

    def note_difference(self, task: str, run_id: str) -> None:
        """Take note that a call which was made before this execution began stands for a run with another payload.

        Raises:
            CallDiffers: The task that calls is strict.
        """

    def wait_for_run(self, run_id: str) -> Coroutine[Any, Any, ChildResult]:
        """Park until a child that this run was registered to wait for has ended.

        Raises:
            RunStopped: The run was cancelled, or its lease was lost.
        """

    def wait_for_batch(self, batch_id: str, *, stays: bool = False) -> Coroutine[Any, Any, Sequence[ChildResult]]:
        """Park until a batch has ended; its results in item order.

        Args:
            batch_id: The batch.
            stays: The run is not unloaded meanwhile: the batch was given up, which it is told in a moment.

        Raises:
            BatchTriggerError: The batch was given up before all its items were there.
            RunStopped: The run was cancelled, or its lease was lost.
        """

    def wait_for_waitpoint(self, waitpoint_id: str) -> Coroutine[Any, Any, WaitpointSettled]:
        """Park until a moment has come, or a token was completed or timed out.

        Raises:
            RunStopped: The run was cancelled, or its lease was lost.
        """

    @property
    def metadata(self) -> MetadataBuffer:
        """What the run says of itself, as this execution knows it.

        Raises:
            RunStopped: The task is a plain function that must not go on and has not been told.
        """

    def flush_metadata(self, *, refresh: bool) -> Coroutine[Any, Any, None]:
        """Store every change of the metadata made so far.

        Args:
            refresh: Read what others have changed, also where there is nothing to store.

        Raises:
            ApiError: A change was refused, or the server could not be reached.
            RunLost: This execution no longer counts.
        """

    def block_on(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's loop and block this thread until it is done."""


current: Final[ContextVar[Execution | None]] = ContextVar("oncue_execution", default=None)
"""The run that the calling code belongs to, or None outside of a task."""
