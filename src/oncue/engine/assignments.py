"""Assignments: a claimed row as the worker is told of it."""

import datetime
import uuid
from typing import Final

import msgspec

from oncue.engine.option_rules import show_priority
from oncue.engine.results import raw
from oncue.protocol import ids, machines
from oncue.protocol.work import Assignment

_MS: Final = datetime.timedelta(milliseconds=1)


class Claimed(msgspec.Struct, frozen=True):
    """A run that was handed out, with what its worker needs to know."""

    run_id: uuid.UUID
    epoch: int
    attempt: int
    task: str
    queue: str
    created_at: datetime.datetime
    payload: str | None
    payload_type: str
    concurrency_key: str | None
    tags: list[str]
    metadata: str | None
    priority: int
    max_attempts: int | None
    max_duration: datetime.timedelta | None
    machine: str | None
    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None
    depth: int
    batch_id: uuid.UUID | None
    is_test: bool


def assignment(row: Claimed) -> Assignment:
    """Return the wire's form of a claimed run."""
    batch = row.batch_id
    return Assignment(
        run_id=ids.show(ids.RUN, row.run_id),
        epoch=row.epoch,
        attempt=row.attempt,
        task=row.task,
        queue=row.queue,
        created_at=row.created_at,
        payload=raw(row.payload),
        payload_type=row.payload_type,
        concurrency_key=row.concurrency_key,
        tags=row.tags,
        metadata=raw(row.metadata),
        priority=show_priority(row.priority),
        max_attempts=row.max_attempts,
        max_duration_ms=None if row.max_duration is None else row.max_duration // _MS,
        machine=row.machine or machines.DEFAULT,
        parent_id=None if row.parent_id is None else ids.show(ids.RUN, row.parent_id),
        root_id=None if row.root_id is None else ids.show(ids.RUN, row.root_id),
        depth=row.depth,
        batch_id=None if batch is None else ids.show(ids.BATCH, batch),
        batch_index=None if batch is None else ids.item_index(row.run_id),
        is_test=row.is_test,
    )
