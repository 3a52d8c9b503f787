"""Batch reading: batches and their results, as clients and waiting runs see them.

Life of a run, this module's part::

    api/routes/batches -> batch_reading.retrieve -> BatchView
    api/routes/work -> batch_reading.read_results -> worker/notices
"""

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine import batch_links, batch_rows, results
from oncue.engine.batch_rows import BatchRow
from oncue.engine.rows import Environment
from oncue.protocol import ids, limits
from oncue.protocol.errors import NotFound
from oncue.protocol.triggers import BatchProcessing, BatchView
from oncue.protocol.work import ChildResult
from oncue.store import queries
from oncue.store.pool import Tx


class FinishedRun(msgspec.Struct, frozen=True):
    """A run of a batch and how it ended."""

    id: uuid.UUID
    task: str
    status: str | None
    output: str | None
    output_type: str | None
    error: str | None


PAGE_BYTES: Final = 8 * 1024 * 1024
"""Outputs handed over at once; one that is larger travels alone."""

_sql = queries.load("batch_reading")
_results = _sql.many("results", FinishedRun)


class EndedPage(msgspec.Struct, frozen=True):
    """Runs of a batch, as far as they have ended."""

    results: list[ChildResult]
    seen: int
    """How many items of the batch were looked at, ended or not; 0: there are no more."""


async def check(tx: Tx, environment: Environment, batch: uuid.UUID) -> None:
    """Refuse a batch that is not there.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    await _existing(tx, environment, batch)


async def retrieve(tx: Tx, environment: Environment, batch: uuid.UUID) -> BatchView:
    """Return a batch as clients see it: with its runs, of a stream the first thousand.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    row = await _existing(tx, environment, batch)
    shown = min(row.run_count, limits.MAX_BATCH_ITEMS) if row.is_sealed else 0
    items = [ids.item_run_id(batch, index) for index in range(shown)]
    links = await batch_links.of_batch(tx, environment, batch) if row.is_sealed else {}
    runs = [ids.show(ids.RUN, links.get(item, item)) for item in items]
    return BatchView(
        ids.show(ids.BATCH, batch),
        _status(row),
        row.created_at,
        row.finished_at or row.sealed_at or row.created_at,
        row.filled if row.open else row.run_count,
        runs,
        BatchProcessing([], row.sealed_at),
        row.idempotency_key,
    )


async def read_results(
    tx: Tx, environment: Environment, batch: uuid.UUID, *, after: int, limit: int
) -> list[ChildResult]:
    """Return how runs of a batch ended, in item order.

    Args:
        after: Index of the first item of the page.
        limit: At most 1,000.

    Returns:
        At most ``limit`` results, and none once their outputs have reached ``PAGE_BYTES``: ask again from there.
    """
    return [_result(row) for row in await _page(tx, environment, batch, after, limit)]


async def read_ended(tx: Tx, environment: Environment, batch: uuid.UUID, *, after: int, limit: int) -> EndedPage:
    """Return how those runs of a batch ended that have, in item order; arguments as for ``read_results``."""
    rows = await _page(tx, environment, batch, after, limit)
    return EndedPage([_result(row) for row in rows if row.status is not None], len(rows))


async def _page(tx: Tx, environment: Environment, batch: uuid.UUID, after: int, limit: int) -> Sequence[FinishedRun]:
    return await _results(
        tx,
        env_id=environment.id,
        batch_id=batch,
        max_bytes=PAGE_BYTES,
        first_id=ids.item_run_id(batch, after),
        last_id=ids.item_run_id(batch, min(after + limit - 1, ids.MAX_ITEM_INDEX)),
    )


def _result(row: FinishedRun) -> ChildResult:
    return results.child_result(
        row.id, task=row.task, status=row.status, output=row.output, output_type=row.output_type, error=row.error
    )


async def _existing(tx: Tx, environment: Environment, batch: uuid.UUID) -> BatchRow:
    row = await batch_rows.load(tx, environment, batch)
    if row is None:
        raise NotFound(f"no batch {ids.show(ids.BATCH, batch)} in this environment")
    return row


def _status(row: BatchRow) -> str:
    if row.aborted is not None:
        return "ABORTED"
    if row.finished_at is not None:
        return "COMPLETED"
    return "PROCESSING" if row.is_sealed else "PENDING"
