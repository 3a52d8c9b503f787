"""Batch creating: the first phase of a batch, before any of its items.

A batch that was created before with the same idempotency key, or by the same call of a run that was started again, is
not created again: whoever asks gets that one.

Life of a run, this module's part::

    api/routes/batches -> batch_creating.create -> waits.park; then batches.fill
"""

import datetime
import hashlib
import uuid
from typing import Final

import msgspec

from oncue.engine import (
    batch_rows,
    dispatch,
    journal,
    one_time_tokens,
    option_rules,
    request_keys,
    requests,
    triggering,
    waits,
)
from oncue.engine.batch_rows import BatchRow
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.journal import RecordedBatch
from oncue.engine.requests import OneTimeToken, ParentCall
from oncue.engine.rows import Environment, RunId
from oncue.engine.waits import Wait
from oncue.protocol import ids, limits
from oncue.protocol.errors import BadRequest, UnprocessableRequest
from oncue.protocol.triggers import CreateBatchRequest, CreateBatchResponse
from oncue.store import queries
from oncue.store.pool import Tx

KEEP_IDEMPOTENCY: Final = datetime.timedelta(hours=24)
"""How long a batch's idempotency key counts. Source: wire contract §2.2."""


class Created(msgspec.Struct, frozen=True):
    """A batch that was created, now or before."""

    response: CreateBatchResponse
    is_new: bool


_sql = queries.load("batch_creating")
_create = _sql.maybe("create", RunId)
_lock_key = _sql.none("lock_key")
_free_key = _sql.none("free_key")
_find_by_key = _sql.maybe("find_by_key", RunId)


async def create(
    tx: Tx,
    environment: Environment,
    request: CreateBatchRequest,
    *,
    request_key: str | None = None,
    one_time: OneTimeToken | None = None,
    max_items: int = limits.MAX_BATCH_ITEMS,
    effects: Effects,
) -> Created:
    """Make an empty batch, and let the parent wait for it where it wants to.

    Args:
        request: What is asked for.
        request_key: The caller's ``x-trigger-request-idempotency-key``.
        one_time: The token that the request uses up, and that may fill the batch.
        max_items: The largest ``runCount``.
        effects: Gets what others must hear of.

    Raises:
        BadRequest: ``runCount`` is out of range.
        LeaseLost: The parent is no longer executed by the worker that asks.
        UnprocessableRequest: Its idempotency key has another batch, of another size or other tasks; or the token was
            used before.
    """
    check(request, max_items)
    parent = requests.parse_parent(
        request.parent_run_id,
        request.parent_epoch,
        request.parent_worker_id,
        waits=request.resume_parent_on_completion,
        call_key=request.call_key,
    )
    used_before = await one_time_tokens.spend_on_batch(tx, environment, one_time, request_key)
    if used_before is not None:
        return await _made_by_token(tx, environment, used_before)
    batch = ids.parse(ids.BATCH, request.id or ids.new_batch_id())
    if request.id is None and request_key is not None:
        batch = (await request_keys.first_meant(tx, environment, {request_key: batch}))[request_key].target_id
    row = None
    if parent is not None:
        row = await triggering.lock_caller(tx, environment, parent)
        caller = triggering.caller_of(parent, {row.run_id: row})
        if caller is not None and (before := await journal.recorded_batch(tx, environment, caller)) is not None:
            response = await _made_before(tx, environment, parent, before, effects=effects)
            return Created(response, is_new=False)
    replayed = None if request.idempotency_key is None else await _replayed(tx, environment, request)
    created = None
    if replayed is None:
        attempt = None if row is None else row.attempt
        created = await _insert(tx, environment, batch, request, parent=parent, parent_attempt=attempt)
    target = batch if replayed is None else replayed.id
    await one_time_tokens.bind(tx, environment, one_time, target)
    if parent is not None and parent.waits:
        await _park_parent(tx, environment, parent, target, is_new=created is not None, effects=effects)
    return Created(_shown(target, request, replayed), is_new=created is not None)


def check(request: CreateBatchRequest, max_items: int = limits.MAX_BATCH_ITEMS) -> None:
    """Refuse a request for a batch that there cannot be.

    Raises:
        BadRequest: Names the field.
    """
    if request.open and request.run_count:
        raise BadRequest(f"runCount: found {request.run_count}; expected 0 with open")
    if not request.open and not 1 <= request.run_count <= max_items:
        raise BadRequest(
            f"Batch runCount of {request.run_count} exceeds maximum allowed of {max_items}."
            if request.run_count > 0
            else f"runCount: found {request.run_count}; expected 1 to {max_items}"
        )
    if request.idempotency_key is not None:
        option_rules.check_key(request.idempotency_key, "idempotencyKey", limits.MAX_IDEMPOTENCY_KEY_LENGTH)


async def _insert(
    tx: Tx,
    environment: Environment,
    batch: uuid.UUID,
    request: CreateBatchRequest,
    *,
    parent: ParentCall | None,
    parent_attempt: int | None,
) -> RunId | None:
    return await _create(
        tx,
        env_id=environment.id,
        id=batch,
        run_count=limits.MAX_OPEN_BATCH_ITEMS if request.open else request.run_count,
        open=request.open,
        parent_id=None if parent is None else parent.run_id,
        waits=parent is not None and parent.waits,
        idempotency_key=request.idempotency_key,
        call_key=request.call_key,
        parent_attempt=parent_attempt,
        tasks_hash=_tasks_hash(request),
    )


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
    tasks_hash = _tasks_hash(request)
    if tasks_hash is not None and row.tasks_hash is not None and tasks_hash != row.tasks_hash:
        raise UnprocessableRequest(
            "a batch of other tasks has already been created with the same idempotency key; use another key"
        )
    return row


def _tasks_hash(request: CreateBatchRequest) -> bytes | None:
    if request.task_identifiers is None or request.idempotency_key is None:
        return None
    return hashlib.sha256(msgspec.json.encode(sorted(set(request.task_identifiers)))).digest()


def _shown(batch: uuid.UUID, request: CreateBatchRequest, replayed: BatchRow | None) -> CreateBatchResponse:
    return CreateBatchResponse(
        ids.show(ids.BATCH, batch),
        request.run_count if replayed is None or replayed.open else replayed.run_count,
        is_cached=replayed is not None and replayed.is_sealed,
        idempotency_key=request.idempotency_key,
    )


async def _made_by_token(tx: Tx, environment: Environment, batch: uuid.UUID) -> Created:
    """Answer a request that is delivered again: with the batch that its token made, whatever it says this time."""
    row = batch_rows.usable(await batch_rows.load(tx, environment, batch), batch)
    response = CreateBatchResponse(ids.show(ids.BATCH, batch), row.run_count, is_cached=row.is_sealed)
    return Created(response, is_new=False)


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
    new = await waits.park(tx, environment, [wait], changes=changes, effects=effects)
    if new:
        await waits.register(tx, environment, new, kind="batch")
    if new and not is_new:
        row = await batch_rows.lock(tx, environment, batch)
        if row is not None and row.finished_at is not None:
            await waits.settle(tx, environment, [batch], changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
