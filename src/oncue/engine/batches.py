"""Batches: many runs triggered together, in two phases.

Created first, then filled by item streams, in any number of requests; it seals when all items are there. The run of an
item has an id derived from batch and index, so an item that is sent again lands on its own run, and item order is id
order. An item that breaks a rule becomes a failed run and the others go on.

Life of a run, this module's part::

    api/routes/batches -> batches.create, fill, seal -> triggering.insert
    finishing.count_into_batches -> done -> waits.settle
"""

import datetime
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from oncue.engine import (
    batch_links,
    batch_rows,
    debouncing,
    dispatch,
    journal,
    matching,
    option_rules,
    placing,
    request_keys,
    requests,
    results,
    triggering,
    waits,
)
from oncue.engine.batch_rows import BatchRow, usable
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.journal import RecordedBatch
from oncue.engine.requests import NewRun, ParentCall
from oncue.engine.rows import Environment, RunId
from oncue.engine.waits import Wait
from oncue.protocol import ids, limits
from oncue.protocol.errors import ApiError, BadRequest, UnprocessableRequest
from oncue.protocol.failures import InternalError
from oncue.protocol.triggers import (
    BatchItem,
    CreateBatchRequest,
    CreateBatchResponse,
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


KEEP_IDEMPOTENCY: Final = datetime.timedelta(hours=24)
"""How long a batch's idempotency key counts. Source: wire contract §2.2."""

_sql = queries.load("batches")
_create = _sql.maybe("create", RunId)
_lock_key = _sql.none("lock_key")
_free_key = _sql.none("free_key")
_find_by_key = _sql.maybe("find_by_key", RunId)
_insert_refused = _sql.many("insert_refused", RunId)
_add = _sql.none("add")
_close = _sql.none("close")
_seal = _sql.maybe("seal", RunId)


async def create(
    tx: Tx,
    environment: Environment,
    request: CreateBatchRequest,
    *,
    request_key: str | None = None,
    effects: Effects,
) -> CreateBatchResponse:
    """Make an empty batch, and let the parent wait for it where it wants to.

    Raises:
        BadRequest: ``runCount`` is out of range.
        LeaseLost: The parent is no longer executed by the worker that asks.
        UnprocessableRequest: Its idempotency key has another batch, of another size.
    """
    _check(request)
    parent = requests.parse_parent(
        request.parent_run_id,
        request.parent_epoch,
        request.parent_worker_id,
        waits=request.resume_parent_on_completion,
        call_key=request.call_key,
    )
    batch = ids.parse(ids.BATCH, request.id or ids.new_batch_id())
    if request.id is None and request_key is not None:
        batch = (await request_keys.first_meant(tx, environment, {request_key: batch}))[request_key].target_id
    row = None
    if parent is not None:
        row = await triggering.lock_caller(tx, environment, parent)
        caller = triggering.caller_of(parent, {row.run_id: row})
        if caller is not None and (before := await journal.recorded_batch(tx, environment, caller)) is not None:
            return await _made_before(tx, environment, parent, before, effects=effects)
    replayed = None if request.idempotency_key is None else await _replayed(tx, environment, request)
    created = None
    if replayed is None:
        created = await _create(
            tx,
            env_id=environment.id,
            id=batch,
            run_count=limits.MAX_OPEN_BATCH_ITEMS if request.open else request.run_count,
            open=request.open,
            parent_id=None if parent is None else parent.run_id,
            waits=parent is not None and parent.waits,
            idempotency_key=request.idempotency_key,
            call_key=request.call_key,
            parent_attempt=None if row is None else row.attempt,
        )
    target = batch if replayed is None else replayed.id
    if parent is not None and parent.waits:
        await _park_parent(tx, environment, parent, target, is_new=created is not None, effects=effects)
    return CreateBatchResponse(
        ids.show(ids.BATCH, target),
        request.run_count if replayed is None or replayed.open else replayed.run_count,
        is_cached=replayed is not None and replayed.is_sealed,
        idempotency_key=request.idempotency_key,
    )


def _check(request: CreateBatchRequest) -> None:
    if request.open and request.run_count:
        raise BadRequest(f"runCount: found {request.run_count}; expected 0 with open")
    if not request.open and not 1 <= request.run_count <= limits.MAX_BATCH_ITEMS:
        raise BadRequest(
            f"Batch runCount of {request.run_count} exceeds maximum allowed of {limits.MAX_BATCH_ITEMS}."
            if request.run_count > 0
            else f"runCount: found {request.run_count}; expected 1 to {limits.MAX_BATCH_ITEMS}"
        )
    if request.idempotency_key is not None:
        option_rules.check_key(request.idempotency_key, "idempotencyKey", limits.MAX_IDEMPOTENCY_KEY_LENGTH)


async def fill(
    tx: Tx, environment: Environment, batch: uuid.UUID, items: Sequence[BatchItem], *, effects: Effects
) -> Filled:
    """Make runs of items, at most a thousand at a time; those that are there already are left as they are.

    Raises:
        UnprocessableRequest: There is no such batch, it was given up, or an index is not below its run count.
    """
    row = usable(await batch_rows.lock(tx, environment, batch), batch)
    if row.is_sealed:
        return Filled(0, 0)
    planned, refused = _plan(row, items)
    changes = Changes()
    created = linked = ended = 0
    if planned:
        created, linked, ended = await _make(tx, environment, batch, planned, changes=changes, effects=effects)
    failed = await _fail(tx, environment, batch, refused) if refused else 0
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
    await placing.move(tx, environment, debouncing.given_machines(matches.pushes), changes=changes, effects=effects)
    links = {run.run_id: matches.target(run) for run in planned if not matches.is_new(run)}
    linked, ended = await batch_links.add(tx, environment, batch, links) if links else (0, 0)
    return len(created), linked, ended


async def _replayed(tx: Tx, environment: Environment, request: CreateBatchRequest) -> BatchRow | None:
    """Return the batch that was made before with the same idempotency key, locked; None: make one.

    A key counts for 24 hours; one whose batch was given up is free. Source: wire contract §2.2.
    """
    # Locked from here on by this transaction, even where no batch has it: two at once make one batch.
    await _lock_key(tx, env_id=environment.id, key=request.idempotency_key)
    await _free_key(tx, env_id=environment.id, key=request.idempotency_key, within=KEEP_IDEMPOTENCY)
    found = await _find_by_key(tx, env_id=environment.id, key=request.idempotency_key)
    if found is None:
        return None
    row = await batch_rows.lock(tx, environment, found.run_id)
    assert row is not None
    if not request.open and row.run_count != request.run_count:
        raise UnprocessableRequest(
            f"a batch of {row.run_count} items has already been created with the same idempotency key, and this one "
            f"has {request.run_count}; use another key"
        )
    return row


async def _made_before(
    tx: Tx, environment: Environment, parent: ParentCall, before: RecordedBatch, *, effects: Effects
) -> CreateBatchResponse:
    """Answer a call that a run made before it was started again: with the batch of then, which it waits for anew."""
    if parent.waits:
        await _park_parent(tx, environment, parent, before.id, is_new=False, effects=effects)
    return CreateBatchResponse(ids.show(ids.BATCH, before.id), before.run_count, is_cached=before.is_sealed)


async def _park_parent(
    tx: Tx, environment: Environment, parent: ParentCall, batch: uuid.UUID, *, is_new: bool, effects: Effects
) -> None:
    assert parent.epoch is not None
    assert parent.worker_id is not None
    changes = Changes()
    wait = Wait(parent.run_id, parent.epoch, parent.worker_id, batch, parent.call_key)
    new = await waits.park(tx, environment, [wait], changes=changes)
    if new:
        await waits.register(tx, environment, new, kind="batch")
    if new and not is_new:
        row = await batch_rows.lock(tx, environment, batch)
        if row is not None and row.finished_at is not None:
            await waits.settle(tx, environment, [batch], changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)


def _plan(row: BatchRow, items: Sequence[BatchItem]) -> tuple[list[NewRun], list[Refused]]:
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
        try:
            run = requests.plan(
                item.task,
                TriggerRequest(item.payload, item.options),
                run_id=run_id,
                batch_id=row.id,
                batch_waits=row.waits,
            )
        except ApiError as error:
            refused.append(Refused(run_id, item.task, error))
        else:
            parent = (
                None if row.parent_id is None else ParentCall(row.parent_id, None, None, waits=False, call_key=None)
            )
            planned.append(msgspec.structs.replace(run, parent=parent))
    return planned, refused


async def _fail(tx: Tx, environment: Environment, batch: uuid.UUID, refused: Sequence[Refused]) -> int:
    errors = [results.stored_error(InternalError("BATCH_ITEM_COULD_NOT_TRIGGER", str(item.error))) for item in refused]
    rows = await _insert_refused(
        tx,
        env_id=environment.id,
        batch_id=batch,
        ids=[item.run_id for item in refused],
        tasks=[item.task[: limits.MAX_TASK_ID_LENGTH].replace("\0", "") for item in refused],
        errors=errors,
    )
    return len(rows)
