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
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine import dispatch, requests, results, triggering, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.requests import NewRun, ParentCall
from oncue.engine.rows import Environment, RunId
from oncue.engine.waits import Wait
from oncue.protocol import ids, limits
from oncue.protocol.errors import ApiError, BadRequest, LeaseLost, NotFound, UnprocessableRequest
from oncue.protocol.failures import InternalError
from oncue.protocol.triggers import (
    BatchItem,
    BatchProcessing,
    BatchView,
    CreateBatchRequest,
    CreateBatchResponse,
    FillBatchResponse,
    TriggerRequest,
)
from oncue.protocol.work import ChildResult
from oncue.store import queries
from oncue.store.pool import Tx

SEAL_WITHIN: Final = datetime.timedelta(minutes=30)
"""A batch that is not full by then is given up. Source: wire contract §2.3."""


class BatchRow(msgspec.Struct, frozen=True):
    """A batch as it stands."""

    id: uuid.UUID
    run_count: int
    filled: int
    ended: int
    sealed_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    aborted: str | None
    parent_id: uuid.UUID | None
    waits: bool
    created_at: datetime.datetime

    @property
    def is_sealed(self) -> bool:
        """Whether it takes no more items."""
        return self.sealed_at is not None


class Filled(msgspec.Struct, frozen=True):
    """What became of a group of items."""

    accepted: int
    deduplicated: int


class FinishedRun(msgspec.Struct, frozen=True):
    """A run of a batch and how it ended."""

    id: uuid.UUID
    task: str
    status: str | None
    output: str | None
    output_type: str | None
    error: str | None


class Refused(msgspec.Struct, frozen=True):
    """An item that could not be made into a run."""

    run_id: uuid.UUID
    task: str
    error: ApiError


_sql = queries.load("batches")
_create = _sql.maybe("create", RunId)
_load = _sql.maybe("load", BatchRow)
_lock = _sql.maybe("lock", BatchRow)
_insert_refused = _sql.many("insert_refused", RunId)
_add = _sql.none("add")
_seal = _sql.maybe("seal", RunId)
_abort = _sql.many("abort", RunId)
_overdue = _sql.many("overdue", RunId)
_results = _sql.many("results", FinishedRun)


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
        UnprocessableRequest: An option that is not honoured yet.
    """
    if not 1 <= request.run_count <= limits.MAX_BATCH_ITEMS:
        raise BadRequest(
            f"Batch runCount of {request.run_count} exceeds maximum allowed of {limits.MAX_BATCH_ITEMS}."
            if request.run_count > 0
            else f"runCount: found {request.run_count}; expected 1 to {limits.MAX_BATCH_ITEMS}"
        )
    if request.idempotency_key is not None:
        raise UnprocessableRequest("idempotencyKey is not supported by this server yet; leave it out")
    parent = requests.parse_parent(
        request.parent_run_id,
        request.parent_epoch,
        request.parent_worker_id,
        waits=request.resume_parent_on_completion,
        call_key=request.call_key,
    )
    batch = ids.parse(ids.BATCH, request.id or ids.new_batch_id())
    if request.id is None and request_key is not None:
        batch = await triggering.first_target(tx, environment, request_key, batch)
    await _attach_parent(tx, environment, parent, batch, effects)
    await _create(
        tx,
        env_id=environment.id,
        id=batch,
        run_count=request.run_count,
        parent_id=None if parent is None else parent.run_id,
        waits=parent is not None and parent.waits,
    )
    return CreateBatchResponse(ids.show(ids.BATCH, batch), request.run_count, is_cached=False)


async def load(tx: Tx, environment: Environment, batch: uuid.UUID) -> BatchRow:
    """Return a batch that items can be sent to, or that is sealed already.

    Raises:
        UnprocessableRequest: There is no such batch in the caller's environment, or it was given up.
    """
    row = await _load(tx, env_id=environment.id, id=batch)
    return _usable(row, batch)


async def fill(
    tx: Tx, environment: Environment, batch: uuid.UUID, items: Sequence[BatchItem], *, effects: Effects
) -> Filled:
    """Make runs of items, at most a thousand at a time; those that are there already are left as they are.

    Raises:
        UnprocessableRequest: There is no such batch, it was given up, or an index is not below its run count.
    """
    row = _usable(await _lock(tx, env_id=environment.id, id=batch), batch)
    if row.is_sealed:
        return Filled(0, 0)
    planned, refused = _plan(row, items)
    changes = Changes()
    created = 0
    if planned:
        _, parents = await triggering.check_parents(tx, environment, planned)
        created = await triggering.insert(tx, environment, planned, parents=parents, changes=changes, effects=effects)
    failed = await _fail(tx, environment, batch, refused) if refused else 0
    added = created + failed
    if added:
        await _add(tx, env_id=environment.id, id=batch, filled=added, ended=failed)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return Filled(added, len(items) - added)


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
    row = _usable(await _lock(tx, env_id=environment.id, id=batch), batch)
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
        row.run_count,
        enqueued_count=None if sealed else row.filled,
        expected_count=None if sealed else row.run_count,
    )


async def abort(
    tx: Tx, environment: Environment, batches: Sequence[uuid.UUID], *, reason: str, effects: Effects
) -> int:
    """Give up batches that are not sealed; whoever waits for one is told why. Runs made of their items go on.

    Returns:
        How many were given up.
    """
    aborted = await _abort(tx, env_id=environment.id, ids=batches, reason=reason)
    if aborted:
        changes = Changes()
        await waits.settle(tx, environment, [row.run_id for row in aborted], changes=changes, effects=effects)
        if changes:
            await dispatch.settle(tx, environment, changes, effects=effects)
    return len(aborted)


async def abort_overdue(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    """Give up batches that were not filled within ``SEAL_WITHIN``; returns how many."""
    overdue = await _overdue(tx, env_id=environment.id, within=SEAL_WITHIN)
    if not overdue:
        return 0
    return await abort(
        tx,
        environment,
        [row.run_id for row in overdue],
        reason=f"not all items had been sent within {SEAL_WITHIN.seconds // 60} minutes",
        effects=effects,
    )


async def retrieve(tx: Tx, environment: Environment, batch: uuid.UUID) -> BatchView:
    """Return a batch as clients see it.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    row = await _load(tx, env_id=environment.id, id=batch)
    if row is None:
        raise NotFound(f"no batch {ids.show(ids.BATCH, batch)} in this environment")
    runs = [ids.show(ids.RUN, ids.item_run_id(batch, index)) for index in range(row.run_count)]
    return BatchView(
        ids.show(ids.BATCH, batch),
        _status(row),
        row.created_at,
        row.finished_at or row.sealed_at or row.created_at,
        row.run_count,
        runs if row.is_sealed else [],
        BatchProcessing([], row.sealed_at),
    )


async def read_results(
    tx: Tx, environment: Environment, batch: uuid.UUID, *, after: int, limit: int
) -> list[ChildResult]:
    """Return how runs of a batch ended, in item order.

    Args:
        after: Index of the first item of the page.
        limit: At most 1,000.
    """
    rows = await _results(
        tx,
        env_id=environment.id,
        first_id=ids.item_run_id(batch, after),
        last_id=ids.item_run_id(batch, min(after + limit - 1, ids.MAX_ITEM_INDEX)),
    )
    return [
        results.child_result(
            row.id,
            task=row.task,
            status=row.status,
            output=row.output,
            output_type=row.output_type,
            error=row.error,
        )
        for row in rows
    ]


async def _attach_parent(
    tx: Tx, environment: Environment, parent: ParentCall | None, batch: uuid.UUID, effects: Effects
) -> None:
    if parent is None:
        return
    refused, _ = await triggering.check_parents(tx, environment, [NewRun(run_id=batch, task="", parent=parent)])
    for error in refused.values():
        raise error
    if not parent.waits:
        return
    assert parent.epoch is not None
    assert parent.worker_id is not None
    changes = Changes()
    wait = Wait(parent.run_id, parent.epoch, parent.worker_id, batch, parent.call_key)
    new, lost = await waits.park(tx, environment, [wait], changes=changes)
    if lost:
        raise LeaseLost("the parent run is no longer executed by this worker; stop it")
    if new:
        await waits.register(tx, environment, new, is_batch=True)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)


def _usable(row: BatchRow | None, batch: uuid.UUID) -> BatchRow:
    shown = ids.show(ids.BATCH, batch)
    if row is None:
        raise UnprocessableRequest(f"Batch {shown} not found")
    if row.aborted is not None:
        raise UnprocessableRequest(f"Batch {shown} is not PENDING: it was aborted ({row.aborted})")
    return row


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


def _status(row: BatchRow) -> str:
    if row.aborted is not None:
        return "ABORTED"
    if row.finished_at is not None:
        return "COMPLETED"
    return "PROCESSING" if row.is_sealed else "PENDING"
