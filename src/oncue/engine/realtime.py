"""Realtime: runs as subscribers see them, one statement for however many runs changed.

What a subscriber is told is always read anew and never carried by a notification, so it is a state that was committed.
Who is told what, and when, is decided in ``api/feeds``.

Life of a run, this module's part::

    Effects.changed -> api/relay, api/feeds -> realtime.read_rows -> ShapeRow
"""

import datetime
import uuid
from collections.abc import Collection, Sequence

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol import ids, limits
from oncue.protocol.errors import NotFound
from oncue.protocol.status import StoredStatus
from oncue.store import queries
from oncue.store.pool import Tx


class ShapeRow(msgspec.Struct, frozen=True):
    """A run with all that subscribers see of it."""

    id: uuid.UUID
    status: StoredStatus
    task: str
    tags: list[str]
    batch_id: uuid.UUID | None
    is_test: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    delay_until: datetime.datetime | None
    ttl: datetime.timedelta | None
    compute_ms: int
    metadata: str | None
    error: str | None
    idempotency_key: str | None
    payload: str | None
    payload_type: str
    output: str | None
    output_type: str | None
    streams: list[str]


class BatchId(msgspec.Struct, frozen=True):
    """A batch that is there."""

    id: uuid.UUID


_sql = queries.load("realtime")
_read_rows = _sql.many("read_rows", ShapeRow)
_read_tagged = _sql.many("read_tagged", ShapeRow)
_read_batch = _sql.many("read_batch", ShapeRow)
_is_batch = _sql.maybe("is_batch", BatchId)


async def read_rows(
    tx: Tx, environment_id: int, runs: Collection[uuid.UUID], *, documents: bool = True
) -> list[ShapeRow]:
    """Return runs of an environment, in any order; those that are not there are left out.

    Args:
        environment_id: Whose.
        runs: At least one.
        documents: Whether with payload and output.
    """
    return await _read_rows(
        tx,
        env_id=environment_id,
        run_ids=list(runs),
        documents=documents,
        first_id=min(runs),
        last_id=max(runs),
    )


async def read_tagged(
    tx: Tx, environment_id: int, tags: Sequence[str], *, since: datetime.datetime, documents: bool = True
) -> list[ShapeRow]:
    """Return the newest runs that came since a moment and have all of these tags, at most ``MAX_REALTIME_ROWS``."""
    return await _read_tagged(
        tx,
        env_id=environment_id,
        tags=list(tags),
        since=since,
        documents=documents,
        limit=limits.MAX_REALTIME_ROWS,
    )


async def read_batch(tx: Tx, environment_id: int, batch: uuid.UUID, *, documents: bool = True) -> list[ShapeRow]:
    """Return the runs of a batch's items, at most ``MAX_REALTIME_ROWS``, those that items are linked to last."""
    return await _read_batch(
        tx,
        env_id=environment_id,
        batch_id=batch,
        first_id=ids.item_run_id(batch, 0),
        last_id=ids.item_run_id(batch, ids.MAX_ITEM_INDEX),
        documents=documents,
        limit=limits.MAX_REALTIME_ROWS,
    )


async def check_batch(tx: Tx, environment: Environment, batch: uuid.UUID) -> None:
    """Refuse a batch that is not there.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    if await _is_batch(tx, env_id=environment.id, batch_id=batch) is None:
        raise NotFound(f"no batch {ids.show(ids.BATCH, batch)} in this environment")
