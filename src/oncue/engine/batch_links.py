"""Batch links: items of a batch that stand for a run that is not their own.

An item whose idempotency or debounce key leads to a run that is there makes none of its own. It is linked to that run:
the batch counts the item as ended when the run is, and its result is the run's.

Life of a run, this module's part::

    batches.fill -> batch_links.add
    finishing -> batch_links.end -> count_into_batches
    api/named_runs -> batch_links.run_of
"""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from oncue.engine.rows import Environment, RunId
from oncue.store import queries
from oncue.store.pool import Tx


class Link(msgspec.Struct, frozen=True):
    """An item and the run that it stands for."""

    item_id: uuid.UUID
    run_id: uuid.UUID


class Added(msgspec.Struct, frozen=True):
    """A new link, and whether its run has ended already."""

    ended: bool


class BatchId(msgspec.Struct, frozen=True):
    """A batch of which an item has ended."""

    batch_id: uuid.UUID


_sql = queries.load("batch_links")
_lock_live = _sql.many("lock_live", RunId)
_add = _sql.many("add", Added)
_end = _sql.many("end", BatchId)
_of_batch = _sql.many("of_batch", Link)
_run_of = _sql.maybe("run_of", RunId)


async def add(
    tx: Tx, environment: Environment, batch: uuid.UUID, links: Mapping[uuid.UUID, uuid.UUID]
) -> tuple[int, int]:
    """Link items to runs; those that are linked already are left.

    Args:
        links: Item id to run id.

    Returns:
        How many links are new, and of how many of these the run has ended.
    """
    in_progress = {row.run_id for row in await _lock_live(tx, env_id=environment.id, run_ids=list(links.values()))}
    added = await _add(
        tx,
        env_id=environment.id,
        batch_id=batch,
        items=list(links),
        runs=list(links.values()),
        ended=[run not in in_progress for run in links.values()],
    )
    return len(added), sum(link.ended for link in added)


async def end(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID]) -> Counter[uuid.UUID]:
    """Mark the items of runs that have ended; returns how many items of which batch."""
    return Counter(row.batch_id for row in await _end(tx, env_id=environment.id, run_ids=runs))


async def of_batch(tx: Tx, environment: Environment, batch: uuid.UUID) -> dict[uuid.UUID, uuid.UUID]:
    """Return the linked items of a batch: item id to run id."""
    return {row.item_id: row.run_id for row in await _of_batch(tx, env_id=environment.id, batch_id=batch)}


async def run_of(tx: Tx, environment: Environment, item: uuid.UUID) -> uuid.UUID | None:
    """Return the run that an item stands for; None where it is no linked item of a batch."""
    row = await _run_of(tx, env_id=environment.id, item_id=item)
    return None if row is None else row.run_id
