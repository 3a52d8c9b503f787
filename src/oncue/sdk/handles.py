"""Handles: what triggering returns, before the runs have ended.

A handle is only ids: it can be kept, turned to JSON with ``to_dict`` and asked later. Its methods are coroutine
functions; ``.sync`` has the same ones, blocking.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from oncue.sdk.results import ReadOutput, Result

if TYPE_CHECKING:
    from oncue.protocol.durations import Duration
    from oncue.protocol.triggers import BatchView
    from oncue.sdk.run import Run

R_co = TypeVar("R_co", covariant=True)
Runs_co = TypeVar("Runs_co", bound=Sequence[Any], covariant=True)


@dataclass(frozen=True)
class RunHandle(Generic[R_co]):
    """A run that was triggered.

    Example::

        handle = await tasks.trigger("email-sequence", payload)
        return JSONResponse(handle.to_dict())
    """

    id: str
    task_identifier: str
    is_cached: bool = False
    """Whether an earlier run with the same idempotency key was returned instead of a new one."""
    public_access_token: str | None = field(default=None, repr=False)
    """Lets a browser read this run and nothing else."""
    read_output: ReadOutput | None = field(default=None, repr=False, compare=False)
    """Reads the output as the task annotates it, where the task was at hand."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, with the names that clients in other languages use."""
        shown: dict[str, Any] = {"id": self.id, "taskIdentifier": self.task_identifier, "isCached": self.is_cached}
        if self.public_access_token is not None:
            shown["publicAccessToken"] = self.public_access_token
        return shown

    def retrieve(self) -> "Coroutine[Any, Any, Run]":
        """Ask where the run stands: ``run = await handle.retrieve()``."""
        from oncue.sdk import polling, transport

        return transport.start(polling.retrieve(self.id), "RunHandle.retrieve")

    def result(self, timeout: "Duration | None" = None) -> Coroutine[Any, Any, Result[R_co]]:
        """Wait until the run has ended, from anywhere: ``result = await handle.result(timeout="30s")``.

        Args:
            timeout: How long to wait at most; numbers are seconds. None waits without end.

        Raises:
            TimeoutError: The run has not ended in time; it goes on.
        """
        from oncue.sdk import polling, transport

        return transport.start(polling.result(self.id, timeout, self.read_output), "RunHandle.result")

    @property
    def sync(self) -> "BlockingRunHandle[R_co]":
        """The same, blocking: ``handle.sync.result()``."""
        return BlockingRunHandle(self)


@dataclass(frozen=True)
class BlockingRunHandle(Generic[R_co]):
    """The blocking side of a run's handle."""

    handle: RunHandle[R_co]

    def retrieve(self) -> "Run":
        """Ask where the run stands: ``run = handle.sync.retrieve()``."""
        from oncue.sdk import polling, transport

        return transport.run(polling.retrieve(self.handle.id))

    def result(self, timeout: "Duration | None" = None) -> Result[R_co]:
        """Wait until the run has ended, as ``RunHandle.result`` does: ``handle.sync.result(timeout="30s")``."""
        from oncue.sdk import polling, transport

        return transport.run(polling.result(self.handle.id, timeout, self.handle.read_output))


@dataclass(frozen=True)
class BatchHandle(Generic[Runs_co]):
    """A batch that was triggered.

    Example::

        handle = await child.batch_trigger([item(1), item(2)])
        first = await handle.runs[0].result()
    """

    batch_id: str
    run_count: int
    runs: Runs_co
    """A handle for each item in order; typed by position where the items were a tuple of tasks.
    An item whose idempotency key was known has another run's id; ``retrieve`` shows it."""
    public_access_token: str | None = field(default=None, repr=False)
    """Lets a browser read this batch and nothing else."""

    @property
    def id(self) -> str:
        """The batch's id."""
        return self.batch_id

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, with the names that clients in other languages use."""
        shown: dict[str, Any] = {
            "batchId": self.batch_id,
            "runCount": self.run_count,
            "runs": [run.to_dict() for run in self.runs],
        }
        if self.public_access_token is not None:
            shown["publicAccessToken"] = self.public_access_token
        return shown

    def retrieve(self) -> "Coroutine[Any, Any, BatchView]":
        """Ask where the batch stands: ``view = await handle.retrieve()``."""
        from oncue.sdk import polling, transport

        return transport.start(polling.retrieve_batch(self.batch_id), "BatchHandle.retrieve")

    @property
    def sync(self) -> "BlockingBatchHandle":
        """The same, blocking: ``handle.sync.retrieve()``."""
        return BlockingBatchHandle(self.batch_id)


@dataclass(frozen=True)
class BlockingBatchHandle:
    """The blocking side of a batch's handle."""

    batch_id: str

    def retrieve(self) -> "BatchView":
        """Ask where the batch stands: ``view = handle.sync.retrieve()``."""
        from oncue.sdk import polling, transport

        return transport.run(polling.retrieve_batch(self.batch_id))
