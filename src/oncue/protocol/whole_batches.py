"""Whole batches: what older clients say of batches whose items come with the request, and what they are told.

Source: wire contract §2.5; what the first versions answer is the official client's own.
"""

import msgspec

from oncue.protocol.codec import NOTHING
from oncue.protocol.triggers import TriggerOptions


class WholeItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of a task."""

    task: str
    payload: msgspec.Raw = NOTHING
    options: TriggerOptions = TriggerOptions()


class TaskItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of the task that the path names."""

    payload: msgspec.Raw = NOTHING
    options: TriggerOptions = TriggerOptions()


class WholeBatchRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A batch with its items; the parent's other fields are ours."""

    items: list[WholeItem]
    parent_run_id: str | None = None
    parent_epoch: int | None = None
    parent_worker_id: str | None = None
    resume_parent_on_completion: bool = False
    call_key: str | None = None


class TaskBatchRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch of one task with its items."""

    items: list[TaskItem]


class WholeBatchResponse(msgspec.Struct, frozen=True, rename="camel"):
    """A batch that was made, version 2."""

    id: str
    run_count: int


class MadeRun(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The run of an item."""

    id: str
    task_identifier: str
    is_cached: bool
    """It was there before, by an idempotency key."""
    idempotency_key: str | None = None


class FirstBatchResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A batch that was made, version 1."""

    id: str
    is_cached: bool
    runs: list[MadeRun]
    """In item order."""
    idempotency_key: str | None = None


class TaskBatchResponse(msgspec.Struct, frozen=True, rename="camel"):
    """A batch of one task that was made."""

    batch_id: str
    runs: list[str]
    """In item order."""
