"""Realtime: runs as subscribers see them, one statement for however many runs changed.

What a subscriber is told is always read anew and never carried by a notification, so it is a state that was committed.
Who is told what, and when, is decided in ``api/feeds``.

Life of a run, this module's part::

    Effects.changed -> api/relay, api/feeds -> realtime.read_rows -> ShapeRow
"""

import datetime
import itertools
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol import ids, limits
from oncue.protocol.errors import NotFound
from oncue.protocol.status import StoredStatus
from oncue.store import queries
from oncue.store.pool import Tx

_MOST_RECENT: Final = 10_000
"""Outlines that one statement returns."""


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
    metadata_digest: str | None
    """MD5 of metadata that was left out."""
    error: str | None
    idempotency_key: str | None
    payload: str | None
    payload_type: str
    payload_bytes: int | None
    output: str | None
    output_type: str | None
    output_bytes: int | None
    streams: list[str]
    version: str


class Outline(msgspec.Struct, frozen=True):
    """As much of a run as it takes to know whom it concerns and whether it is to be read."""

    id: uuid.UUID
    tags: list[str]
    created_at: datetime.datetime
    document_bytes: int
    """Of payload and output."""
    metadata_bytes: int
    version: str
    """Another after each change of anything that subscribers see."""


class Filling(msgspec.Struct, frozen=True):
    """How far a batch is filled."""

    id: uuid.UUID
    filled: int


class BatchId(msgspec.Struct, frozen=True):
    """A batch that is there."""

    id: uuid.UUID


_sql = queries.load("realtime")
_read_rows = _sql.many("read_rows", ShapeRow)
_outline = _sql.many("outline", Outline)
_outline_tagged = _sql.many("outline_tagged", Outline)
_outline_recent = _sql.many("outline_recent", Outline)
_outline_batch = _sql.many("outline_batch", Outline)
_fillings = _sql.many("fillings", Filling)
_is_batch = _sql.maybe("is_batch", BatchId)


async def read_rows(
    tx: Tx, environment_id: int, runs: Collection[uuid.UUID], *, documents: bool = True, metadata: bool = True
) -> list[ShapeRow]:
    """Return runs of an environment, in any order; those that are not there are left out.

    Args:
        environment_id: Whose.
        runs: At least one.
        documents: Whether with payload and output.
        metadata: Whether with metadata.
    """
    return await _read_rows(
        tx,
        env_id=environment_id,
        run_ids=list(runs),
        documents=documents,
        metadata=metadata,
        first_id=min(runs),
        last_id=max(runs),
    )


async def read_outlined(
    tx: Tx, environment_id: int, outlines: Sequence[Outline], *, documents: bool = True
) -> list[ShapeRow]:
    """Return runs in the order of their outlines, with no more of their documents than one answer may hold.

    Payloads and outputs are left out from where they are more than ``MAX_SNAPSHOT_BYTES``, and so is metadata.
    """
    with_documents = _within(outline.document_bytes for outline in outlines) if documents else 0
    with_metadata = _within(outline.metadata_bytes for outline in outlines)
    cuts = sorted({0, with_documents, with_metadata, len(outlines)})
    found: dict[uuid.UUID, ShapeRow] = {}
    for first, end in itertools.pairwise(cuts):
        runs = [outline.id for outline in outlines[first:end]]
        rows = await read_rows(
            tx, environment_id, runs, documents=first < with_documents, metadata=first < with_metadata
        )
        found.update((row.id, row) for row in rows)
    return [found[outline.id] for outline in outlines if outline.id in found]


async def outline(tx: Tx, environment_id: int, runs: Collection[uuid.UUID]) -> list[Outline]:
    """Return outlines of runs, at least one, in any order; those that are not there are left out."""
    return await _outline(tx, env_id=environment_id, run_ids=list(runs), first_id=min(runs), last_id=max(runs))


async def outline_tagged(
    tx: Tx, environment_id: int, tags: Sequence[str], *, since: datetime.datetime
) -> list[Outline]:
    """Return the newest runs that came since a moment and have all of these tags, at most ``MAX_REALTIME_ROWS``."""
    return await _outline_tagged(
        tx, env_id=environment_id, tags=list(tags), since=since, limit=limits.MAX_REALTIME_ROWS
    )


async def outline_recent(
    tx: Tx, environment_id: int, tags: Collection[str] | None, *, within: datetime.timedelta
) -> list[Outline]:
    """Return the newest runs that have any of these tags, or of None all, at most 10,000.

    Args:
        environment_id: Whose.
        tags: Any of them.
        within: How old their ids may be.
    """
    return await _outline_recent(
        tx, env_id=environment_id, tags=list(tags or ()), every=tags is None, within=within, limit=_MOST_RECENT
    )


async def outline_batch(tx: Tx, environment_id: int, batch: uuid.UUID) -> list[Outline]:
    """Return the runs of a batch's items, at most ``MAX_REALTIME_ROWS``, those that items are linked to last."""
    return await _outline_batch(
        tx,
        env_id=environment_id,
        batch_id=batch,
        first_id=ids.item_run_id(batch, 0),
        last_id=ids.item_run_id(batch, ids.MAX_ITEM_INDEX),
        limit=limits.MAX_REALTIME_ROWS,
    )


async def fillings(tx: Tx, environment_id: int, batches: Collection[uuid.UUID]) -> list[Filling]:
    """Return how far batches are filled, in any order; those that are not there are left out."""
    return await _fillings(tx, env_id=environment_id, batch_ids=list(batches))


async def check_batch(tx: Tx, environment: Environment, batch: uuid.UUID) -> None:
    """Refuse a batch that is not there.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    if await _is_batch(tx, env_id=environment.id, batch_id=batch) is None:
        raise NotFound(f"no batch {ids.show(ids.BATCH, batch)} in this environment")


def _within(sizes: Iterable[int]) -> int:
    """Return how many come before there are too many bytes."""
    return sum(1 for total in itertools.accumulate(sizes) if total <= limits.MAX_SNAPSHOT_BYTES)
