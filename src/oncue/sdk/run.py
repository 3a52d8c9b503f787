"""Run: a run as the SDK shows it, with payload, output and metadata as Python values.

The fields are the wire contract's (§4.2) in snake_case; what stands for what is decided by the server.
"""

import datetime
from typing import Any

import msgspec

from oncue.protocol.failures import ShownError
from oncue.protocol.runs import Environment, Pagination, PendingReason, RunSummary
from oncue.protocol.status import ApiStatus


class RelatedRun(RunSummary, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run, without what it was given and what it made."""

    metadata: Any = None


class RelatedRuns(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Where a run stands in its family."""

    root: RelatedRun | None = None
    parent: RelatedRun | None = None
    children: list[RelatedRun] | None = None


class Run(RelatedRun, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run as ``runs.retrieve`` shows it."""

    payload: Any = None
    payload_presigned_url: str | None = None
    """Where a large payload is kept; None once it has been fetched, so not None only where it could not be."""
    output: Any = None
    """What the task returned, once ``is_success``."""
    output_presigned_url: str | None = None
    """Where a large output is kept; None once it has been fetched, so not None only where it could not be."""
    error: ShownError | None = None
    related_runs: RelatedRuns = RelatedRuns()
    attempt_count: int = 0
    priority: float = 0
    """Seconds of head start."""
    replayed_from: str | None = None
    """The run that this one is a replay of."""
    pending_reason: PendingReason | None = None
    """Why it does not start; None where it is not due, or only others are before it."""


class FollowedRun(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run as ``runs.subscribe`` and its siblings show it: what the server tells of it with each change.

    Each field is as ``runs.retrieve`` shows it, but that moments are exact to the millisecond. What is not told is not
    here; ``await runs.retrieve(run)`` asks for it: ``attempt_count``, ``batch_id``, ``concurrency_key``, ``depth``,
    ``idempotency_key``, ``machine``, ``pending_reason``, ``priority``, ``queue``, ``region``, ``related_runs``,
    ``replayed_from``, ``trigger_function``, ``version``.
    """

    id: str
    status: ApiStatus
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
    ttl: str | None = None
    tags: list[str]
    cost_in_cents: float
    base_cost_in_cents: float
    duration_ms: int
    """Compute time of all attempts, waits left out."""
    metadata: Any = None
    payload: Any = None
    payload_presigned_url: str | None = None
    """Where a large payload is kept; not None only where it could not be fetched."""
    output: Any = None
    """What the task returned, once ``is_success``."""
    output_presigned_url: str | None = None
    """Where a large output is kept; not None only where it could not be fetched."""
    error: ShownError | None = None


class ListedRun(RelatedRun, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run as ``runs.list`` yields it."""

    env: Environment


class RunPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of runs, newest first."""

    data: list[ListedRun]
    pagination: Pagination
