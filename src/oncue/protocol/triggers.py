"""Triggers: one call of a task, as it crosses the wire.

The shapes are the wire contract's (§2.1). Our own additions, which official clients never send, are ``runId`` (ids are
minted by the caller) and what a run says of itself when it triggers from inside: ``parentEpoch``, ``parentWorkerId``,
``callKey``.

Life of a run, this module's part::

    sdk/requests -> TriggerRequest -> api/routes/tasks -> engine/triggering
"""

import datetime

import msgspec

from oncue.protocol.codec import NOTHING


class NestedQueue(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """``{name, concurrencyLimit}``, as the trigger page writes a queue."""

    name: str
    concurrency_limit: int | None = None


class QueueOption(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The queue of a run; the v4 client wraps the page's object in ``name``, so both forms are read."""

    name: str | NestedQueue
    concurrency_limit: int | None = None


class DebounceOption(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Consolidate calls into one delayed run."""

    key: str
    delay: str
    mode: str | None = None
    max_delay: str | None = None


class IdempotencyKeyOptions(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The key as the user wrote it, so that it can be shown."""

    key: str
    scope: str


class ResetKeyRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Whose idempotency key is to be forgotten (wire contract §2.9)."""

    task_identifier: str


class TriggerOptions(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Options of one run. Absent means the task's or the environment's own setting."""

    run_id: str | None = None
    """Minted by the caller; sending the same one again makes no second run."""
    payload_type: str | None = None
    """``application/json``, ``application/super+json`` or ``text/plain``: then a string payload holds the document.
    Absent: the payload is the JSON value itself."""
    payload_size: int | None = None
    queue: str | QueueOption | None = None
    concurrency_key: str | int | float | None = None
    delay: str | None = None
    ttl: str | int | None = None
    idempotency_key: str | None = None
    idempotency_key_ttl: str | None = msgspec.field(default=None, name="idempotencyKeyTTL")
    idempotency_key_options: IdempotencyKeyOptions | None = None
    debounce: DebounceOption | None = None
    tags: str | list[str] | None = None
    metadata: msgspec.Raw = NOTHING
    max_attempts: int | None = None
    max_duration: float | None = None
    """Seconds of compute."""
    machine: str | None = None
    priority: float | None = None
    """Seconds of head start."""
    region: str | None = None
    lock_to_version: str | None = None
    test: bool | None = None
    parent_run_id: str | None = None
    parent_epoch: int | None = None
    """Which execution of the parent calls; an old one is refused with ``lease_lost``."""
    parent_worker_id: str | None = None
    resume_parent_on_completion: bool = False
    """The parent waits for this run: its slots are given back in the same transaction."""
    call_key: str | None = None
    """Names the call within the parent's attempt, for instance ``wait:my-task#2``."""


class TriggerRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One call of a task, as the SDK sends it."""

    payload: msgspec.Raw = NOTHING
    options: TriggerOptions = TriggerOptions()


class TriggerResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a trigger made."""

    id: str
    is_cached: bool
    """Without a default, so that it is sent even when false: the official client requires it."""
    payload_differs: bool = False
    """The run was made by the same call before its parent was started again, with another payload, which it keeps."""


class BatchItem(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One line of a batch's item stream (wire contract §2.3)."""

    index: int
    task: str
    payload: msgspec.Raw = NOTHING
    options: TriggerOptions = TriggerOptions()


class CreateBatchRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Phase one of a batch (wire contract §2.2); ``id`` and the parent's fields are ours."""

    run_count: int
    """0 for a batch that is open."""
    id: str | None = None
    task_identifiers: list[str] | None = None
    idempotency_key: str | None = None
    parent_run_id: str | None = None
    parent_epoch: int | None = None
    parent_worker_id: str | None = None
    resume_parent_on_completion: bool = False
    call_key: str | None = None
    open: bool = False
    """How many items there will be is not known yet, and is said when the batch is sealed; ours."""


class CreateBatchResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A batch that may now be filled."""

    id: str
    run_count: int
    is_cached: bool
    idempotency_key: str | None = None


class ItemRefusal(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An item that made no run, and why."""

    index: int
    task_identifier: str
    error: str
    error_code: str | None = None


class FillBatchResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What became of a stream of items (wire contract §2.3)."""

    id: str
    items_accepted: int
    items_deduplicated: int
    sealed: bool
    run_count: int
    enqueued_count: int | None = None
    expected_count: int | None = None


class SealBatchRequest(msgspec.Struct, frozen=True, rename="camel"):
    """All items of an open batch were sent; ours."""

    run_count: int


class AbortBatchRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Give up a batch that cannot be filled; ours, official clients leave that to the deadline."""

    reason: str
    """What a run that waits for the batch is told."""


class AbortBatchResponse(msgspec.Struct, frozen=True, rename="camel"):
    """What became of the wish to give a batch up."""

    id: str
    sealed: bool
    """All its items had arrived after all: it goes on, and was not given up."""


class BatchProcessing(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What went wrong while items were made into runs."""

    errors: list[ItemRefusal]
    completed_at: datetime.datetime | None = None


class BatchView(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A batch as ``batch.retrieve`` shows it (wire contract §2.8); ``runs`` in item order, empty until sealed."""

    id: str
    status: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    run_count: int
    runs: list[str]
    processing: BatchProcessing
    idempotency_key: str | None = None
