"""Runs: what is told of a run.

The shapes are the wire contract's (§4.2, §4.3): an optional field is left out, never null, and eight booleans say
where the run stands.

Life of a run, this module's part::

    engine/reading -> RunView -> api/routes/runs -> sdk/runs
"""

import datetime
from typing import Literal, TypeAlias

import msgspec

from oncue.protocol.codec import NOTHING
from oncue.protocol.failures import ShownError
from oncue.protocol.status import ApiStatus, OlderStatus
from oncue.protocol.triggers import IdempotencyKeyOptions, QueueOption

TriggerFunction: TypeAlias = Literal["trigger", "triggerAndWait", "batchTrigger", "batchTriggerAndWait"]


class RunSummary(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What a list shows of a run."""

    id: str
    status: ApiStatus | OlderStatus
    task_identifier: str
    is_queued: bool
    is_executing: bool
    is_waiting: bool
    is_completed: bool
    is_success: bool
    is_failed: bool
    is_cancelled: bool
    is_test: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    delayed_until: datetime.datetime | None = None
    expired_at: datetime.datetime | None = None
    idempotency_key: str | None = None
    version: str | None = None
    ttl: str | None = None
    tags: list[str]
    cost_in_cents: float
    base_cost_in_cents: float
    duration_ms: int
    """Compute time of all attempts, waits left out."""
    metadata: msgspec.Raw = NOTHING
    region: str | None = None
    machine: str | None = None
    queue: str
    """Name of the queue; a task's own is ``task/<id>``."""
    concurrency_key: str | None = None
    depth: int
    """0 for a run that no run triggered."""
    trigger_function: TriggerFunction
    batch_id: str | None = None


class Environment(msgspec.Struct, frozen=True, rename="camel"):
    """The environment of a listed run."""

    id: str
    name: str


class ListedRun(RunSummary, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An item of ``runs.list``."""

    env: Environment


class RelatedRuns(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Where a run stands in its family."""

    root: RunSummary | None = None
    parent: RunSummary | None = None
    children: list[RunSummary] | None = None


class PendingReason(msgspec.Struct, frozen=True, rename="camel"):
    """What keeps a run from starting although it is due."""

    code: Literal["NO_WORKER", "QUEUE_PAUSED", "CONCURRENCY_LIMIT", "MACHINE_TOO_LARGE", "NO_ROOM"]
    message: str
    """For people, with what to do about it where something can be done."""

    def __str__(self) -> str:
        return self.message


class RunView(RunSummary, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run as ``runs.retrieve`` shows it."""

    payload: msgspec.Raw = NOTHING
    payload_presigned_url: str | None = None
    """Where the payload can be fetched, in place of a large one; counts for a limited time."""
    output: msgspec.Raw = NOTHING
    output_presigned_url: str | None = None
    """Where the output can be fetched, in place of a large one; counts for a limited time."""
    error: ShownError | None = None
    related_runs: RelatedRuns
    attempt_count: int
    priority: float
    """Seconds of head start."""
    replayed_from: str | None = None
    """The run that this one is a replay of."""
    pending_reason: PendingReason | None = None
    """Why it does not start; absent where it is not due, or only others are before it."""


class RescheduleRequest(msgspec.Struct, frozen=True):
    """When a delayed run is to be due (wire contract §2.7)."""

    delay: str
    """A duration, or an ISO date."""


class ReplayRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a replay is to have otherwise; each an option of a trigger (wire contract §2.7)."""

    payload: msgspec.Raw = NOTHING
    payload_type: str | None = None
    """``application/json`` or ``application/super+json``. Absent: the payload is the JSON value itself."""
    queue: str | QueueOption | None = None
    concurrency_key: str | int | float | None = None
    delay: str | None = None
    ttl: str | int | None = None
    idempotency_key: str | None = None
    idempotency_key_ttl: str | None = msgspec.field(default=None, name="idempotencyKeyTTL")
    idempotency_key_options: IdempotencyKeyOptions | None = None
    tags: str | list[str] | None = None
    metadata: msgspec.Raw = NOTHING
    max_attempts: int | None = None
    max_duration: float | None = None
    """Seconds of compute."""
    machine: str | None = None
    priority: float | None = None
    """Seconds of head start."""
    region: str | None = None
    version: str | None = None


class ReplayResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The run that a replay made, or the one that its idempotency key stands for."""

    id: str
    task_identifier: str
    is_cached: bool


class Pagination(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Cursors of the pages beside this one."""

    next: str | None = None
    previous: str | None = None


class RunPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of runs, newest first."""

    data: list[ListedRun]
    pagination: Pagination
