"""Context: what a task is told about its run.

A snapshot taken when the execution starts; it never changes, so it can be kept and passed around. What the run can ask
of its worker is in ``execution.py``; how the worker gets here from an assignment is ``context_from``.

Life of a run, this module's part::

    engine/claiming -> Assignment -> worker/executor -> context_from -> user code
"""

import datetime
from typing import Any

import msgspec

from oncue.protocol import codec, ids
from oncue.protocol.work import Assignment


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The run itself."""

    id: str
    tags: tuple[str, ...] = ()
    priority: float = 0
    """Seconds of head start."""
    created_at: datetime.datetime
    parent_id: str | None = None
    """The run that triggered this one."""
    root_id: str | None = None
    """The first run of the family; None where this run is the first."""
    depth: int = 0
    """0 for a run that no run triggered."""
    is_test: bool = False
    batch_id: str | None = None
    batch_index: int | None = None
    """Zero-based position in the batch."""
    metadata: Any = None
    """As it stood when this execution started; ``metadata.get`` reads what it is now."""
    max_attempts: int | None = None
    max_duration: datetime.timedelta | None = None
    """Longest compute time of an attempt, waits left out."""
    concurrency_key: str | None = None


class AttemptInfo(msgspec.Struct, frozen=True):
    """The attempt that is executing."""

    number: int
    """From 1."""


class TaskInfo(msgspec.Struct, frozen=True):
    """The task that is executing."""

    id: str
    file: str | None = None
    """Where it is defined, as ``path:line``."""


class QueueInfo(msgspec.Struct, frozen=True):
    """The queue that the run came from."""

    name: str


class BatchInfo(msgspec.Struct, frozen=True):
    """The batch that the run is an item of."""

    id: str


class EnvironmentInfo(msgspec.Struct, frozen=True):
    """The environment that the run belongs to."""

    slug: str


class MachineInfo(msgspec.Struct, frozen=True):
    """The machine preset that the run is held to."""

    name: str


class WorkerInfo(msgspec.Struct, frozen=True):
    """The worker process that executes the run."""

    id: str


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a task can know about its run.

    Example::

        @task
        async def greet(name: str, ctx: Context) -> str:
            return f"attempt {ctx.attempt.number} of {ctx.run.id} greets {name}"
    """

    run: RunInfo
    attempt: AttemptInfo
    task: TaskInfo
    queue: QueueInfo
    batch: BatchInfo | None = None
    environment: EnvironmentInfo
    machine: MachineInfo | None = None
    """None where no preset was asked for."""
    worker: WorkerInfo


def context_from(
    assignment: Assignment, *, task_file: str | None, environment: str, worker_id: str, machine: str | None = None
) -> Context:
    """Build the context of an execution from what the server handed out.

    Args:
        assignment: The leased run.
        task_file: Where the task is defined, as ``path:line``.
        environment: The environment's slug, from the server's welcome.
        worker_id: Who executes it.
        machine: Name of the preset that holds the run, if any.
    """
    limit_ms = assignment.max_duration_ms
    run = RunInfo(
        id=assignment.run_id,
        tags=tuple(assignment.tags),
        priority=assignment.priority,
        created_at=assignment.created_at,
        parent_id=assignment.parent_id,
        root_id=assignment.root_id,
        depth=assignment.depth,
        is_test=assignment.is_test,
        batch_id=assignment.batch_id,
        batch_index=assignment.batch_index,
        metadata=codec.restore(assignment.metadata, codec.JSON) if assignment.metadata else None,
        max_attempts=assignment.max_attempts,
        max_duration=None if limit_ms is None else datetime.timedelta(milliseconds=limit_ms),
        concurrency_key=assignment.concurrency_key,
    )
    return Context(
        run=run,
        attempt=AttemptInfo(assignment.attempt),
        task=TaskInfo(assignment.task, task_file),
        queue=QueueInfo(assignment.queue),
        batch=None if assignment.batch_id is None else BatchInfo(assignment.batch_id),
        environment=EnvironmentInfo(environment),
        machine=None if machine is None else MachineInfo(machine),
        worker=WorkerInfo(worker_id),
    )


def local_context(task_id: str, task_file: str | None, queue: str) -> Context:
    """Build a context for a task function that is called inline, where there is no run."""
    run = RunInfo(id=ids.new_run_id(), created_at=datetime.datetime.now(datetime.UTC), is_test=True)
    return Context(
        run=run,
        attempt=AttemptInfo(1),
        task=TaskInfo(task_id, task_file),
        queue=QueueInfo(queue),
        environment=EnvironmentInfo("local"),
        worker=WorkerInfo("local"),
    )
