"""Batches: many runs triggered together, in two phases, of which this is the second.

Created first, in ``batch_creating``, then filled by item streams, in any number of requests; it seals when all items
are there. The run of an item has an id derived from batch and index, so an item that is sent again lands on its own
run, and item order is id order. An item that breaks a rule becomes a failed run and the others go on.

Life of a run, this module's part::

    api/routes/batches -> batches.fill, seal -> triggering.insert
    finishing.count_into_batches -> done -> waits.settle
"""

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from oncue.engine import (
    batch_links,
    batch_rows,
    debouncing,
    dispatch,
    matching,
    placing,
    requests,
    results,
    triggering,
    waits,
)
from oncue.engine.batch_rows import BatchRow, usable
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.requests import NewRun, ParentCall
from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids, limits
from oncue.protocol.errors import ApiError, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.failures import InternalError
from oncue.protocol.triggers import (
    BatchItem,
    FillBatchResponse,
    TriggerRequest,
)
from oncue.store import queries
from oncue.store.pool import Tx


class Filled(msgspec.Struct, frozen=True):
    """What became of a group of items."""

    accepted: int
    deduplicated: int


class Refused(msgspec.Struct, frozen=True):
    """An item that could not be made into a run."""

    run_id: uuid.UUID
    task: str
    error: ApiError


_NO_REFUSALS: Final[Mapping[int, ApiError]] = {}

_sql = queries.load("batches")
_insert_refused = _sql.many("insert_refused", RunId)
_add = _sql.none("add")
_close = _sql.none("close")
_seal = _sql.maybe("seal", RunId)


async def fill(
    tx: Tx,
    environment: Environment,
    batch: uuid.UUID,
    items: Sequence[BatchItem],
    *,
    refusals: Mapping[int, ApiError] = _NO_REFUSALS,
    max_payload_bytes: int = limits.MAX_PAYLOAD_BYTES,
    effects: Effects,
) -> Filled:
    """Make runs of items, at most a thousand at a time; those that are there already are left as they are.

    Args:
        batch: Their batch.
        items: In any order.
        refusals: By index, why items cannot be made into runs; more may be found here.
        max_payload_bytes: The largest payload.
        effects: Gets what others must hear of.

    Raises:
        UnprocessableRequest: There is no such batch, it was given up, or an index is not below its run count.
    """
    row = usable(await batch_rows.lock(tx, environment, batch), batch)
    if row.is_sealed:
        return Filled(0, 0)
    planned, refused = _plan(row, items, refusals, max_payload_bytes)
    changes = Changes()
    created = linked = ended = 0
    if planned:
        created, linked, ended = await _make(tx, environment, batch, planned, changes=changes, effects=effects)
    failed = await _fail(tx, environment, batch, refused, effects) if refused else 0
    added = created + linked + failed
    if added:
        await _add(tx, env_id=environment.id, id=batch, filled=added, ended=ended + failed)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return Filled(added, len(items) - added)


async def close(
    tx: Tx, environment: Environment, batch: uuid.UUID, *, run_count: int, effects: Effects
) -> FillBatchResponse:
    """Say that an open batch has so many items, and seal it; say how many there are if they are not all there.

    Raises:
        UnprocessableRequest: There is no such batch, it was given up, or it has another number of items for good.
    """
    row = usable(await batch_rows.lock(tx, environment, batch), batch)
    if not row.open and row.run_count != run_count:
        raise UnprocessableRequest(
            f"Batch {ids.show(ids.BATCH, batch)} has {row.run_count} items; found runCount={run_count}"
        )
    if row.open and row.filled != run_count:
        return FillBatchResponse(
            ids.show(ids.BATCH, batch),
            0,
            0,
            sealed=False,
            run_count=0,
            enqueued_count=row.filled,
            expected_count=run_count,
        )
    if row.open:
        await _close(tx, env_id=environment.id, id=batch)
    return await seal(tx, environment, batch, accepted=0, deduplicated=0, effects=effects)


async def seal(
    tx: Tx,
    environment: Environment,
    batch: uuid.UUID,
    *,
    accepted: int,
    deduplicated: int,
    effects: Effects,
) -> FillBatchResponse:
    """Close a batch that is full; say how much of it is there if it is not."""
    row = usable(await batch_rows.lock(tx, environment, batch), batch)
    sealed = row.is_sealed
    if not sealed and row.filled == row.run_count:
        sealed = True
        done = await _seal(tx, env_id=environment.id, id=batch)
        if done is not None:
            changes = Changes()
            await waits.settle(tx, environment, [batch], changes=changes, effects=effects)
            if changes:
                await dispatch.settle(tx, environment, changes, effects=effects)
    return FillBatchResponse(
        ids.show(ids.BATCH, batch),
        accepted,
        deduplicated,
        sealed,
        0 if row.open else row.run_count,
        enqueued_count=None if sealed else row.filled,
        expected_count=None if sealed or row.open else row.run_count,
    )


async def _make(
    tx: Tx,
    environment: Environment,
    batch: uuid.UUID,
    planned: Sequence[NewRun],
    *,
    changes: Changes,
    effects: Effects,
) -> tuple[int, int, int]:
    """Make the runs of items, or link items to the runs that their keys stand for.

    Returns:
        How many runs are new, how many links are, and how many of the linked runs have ended.
    """
    parents = await triggering.lock_parents(tx, environment, planned)
    settled: Collection[uuid.UUID] = ()
    if any(run.idempotency is not None or run.debounce is not None for run in planned):
        settled = await batch_links.of_batch(tx, environment, batch)
    matches = await matching.match(tx, environment, planned, settled=settled)
    new = [run for run in planned if matches.is_new(run) and run.run_id not in settled]
    created = await triggering.insert(tx, environment, new, parents=parents, changes=changes, effects=effects)
    await debouncing.push(tx, environment, matches.pushes)
    effects.change(environment, [push.run_id for push in matches.pushes])
    await placing.move(tx, environment, debouncing.given_machines(matches.pushes), changes=changes, effects=effects)
    links = {run.run_id: matches.target(run) for run in planned if not matches.is_new(run)}
    linked, ended = await batch_links.add(tx, environment, batch, links) if links else (0, 0)
    # Named by the item: who subscribes to the batch finds the run that it stands for.
    effects.change(environment, links)
    return len(created), linked, ended


def _plan(
    row: BatchRow, items: Sequence[BatchItem], refusals: Mapping[int, ApiError], max_payload_bytes: int
) -> tuple[list[NewRun], list[Refused]]:
    planned: list[NewRun] = []
    refused: list[Refused] = []
    seen: Counter[int] = Counter()
    for item in items:
        if not 0 <= item.index < row.run_count:
            raise UnprocessableRequest(
                f"Invalid item at index {item.index}: the batch has {row.run_count} items, 0 to {row.run_count - 1}"
            )
        seen[item.index] += 1
        if seen[item.index] > 1:
            continue
        run_id = ids.item_run_id(row.id, item.index)
        if item.index in refusals:
            refused.append(Refused(run_id, item.task, refusals[item.index]))
            continue
        try:
            run = requests.plan(
                item.task,
                TriggerRequest(item.payload, item.options),
                run_id=run_id,
                batch_id=row.id,
                batch_waits=row.waits,
                max_payload_bytes=max_payload_bytes,
            )
        except ApiError as error:
            refused.append(Refused(run_id, item.task, error))
        else:
            parent = (
                None if row.parent_id is None else ParentCall(row.parent_id, None, None, waits=False, call_key=None)
            )
            planned.append(msgspec.structs.replace(run, parent=parent))
    return planned, refused


def _code(error: ApiError) -> str:
    """Return the code of an item's run. Source: wire contract §2.3."""
    return "PAYLOAD_TOO_LARGE" if isinstance(error, PayloadTooLarge) else "BATCH_ITEM_COULD_NOT_TRIGGER"


async def _fail(
    tx: Tx, environment: Environment, batch: uuid.UUID, refused: Sequence[Refused], effects: Effects
) -> int:
    errors = [results.stored_error(InternalError(_code(item.error), str(item.error))) for item in refused]
    rows = await _insert_refused(
        tx,
        env_id=environment.id,
        batch_id=batch,
        ids=[item.run_id for item in refused],
        tasks=[item.task[: limits.MAX_TASK_ID_LENGTH].replace("\0", "") for item in refused],
        errors=errors,
    )
    effects.change(environment, [row.run_id for row in rows])
    return len(rows)
