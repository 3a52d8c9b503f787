"""Batches: create one, stream its items, look at it.

Items are decoded as their lines arrive and handed to the engine in groups, one group under way while the next is read:
memory stays flat however long the stream is.

Items are paid for with tokens of the environment's rate limit for batch items: those of a batch of known size when it
is created, so that what was created can be filled, and those of an open batch group by group.

Source: wire contract §2.2, §2.3.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from oncue.api import access, answer_tokens, bodies, item_lines, offloading, public_requests
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import batch_creating, batch_reading, batch_rows, batches, giving_up
from oncue.engine.batch_creating import Created
from oncue.engine.batch_rows import BatchRow
from oncue.engine.batches import Filled
from oncue.engine.rate_limits import BATCH_ITEMS
from oncue.protocol import ids, limits
from oncue.protocol.errors import ApiError, BadRequest, NotFound, UnprocessableRequest
from oncue.protocol.triggers import (
    AbortBatchRequest,
    AbortBatchResponse,
    BatchItem,
    BatchView,
    CreateBatchRequest,
    CreateBatchResponse,
    FillBatchResponse,
    SealBatchRequest,
)

_GROUP: Final = 500
_GROUP_BYTES: Final = 8 * 1024 * 1024
_NDJSON: Final = frozenset({"application/x-ndjson", "application/ndjson"})


async def create(call: Call, request: CreateBatchRequest) -> Answer:
    """Make an empty batch."""
    access.check_tasks(call, request.task_identifiers)
    batch_creating.check(request, call.services.settings.max_batch_items)
    if request.open:
        made = await _create(call, request)
    else:
        async with call.charged(BATCH_ITEMS, request.run_count) as charge:
            made = await _create(call, request)
            charge.used = request.run_count if made.is_new else 0
    return Answer(
        msgspec.structs.replace(made.response, idempotency_key=request.idempotency_key),
        HTTPStatus.OK if made.response.is_cached else HTTPStatus.ACCEPTED,
        await answer_tokens.for_batch(call, made.response.id),
    )


async def fill(call: Call, _: None) -> Answer:
    """Make runs of a stream of items, and close the batch if it is full."""
    media_type = (call.header(b"content-type") or "").partition(";")[0].strip().lower()
    if media_type not in _NDJSON:
        message = f"Content-Type is {media_type[:60]!r}; expected application/x-ndjson"
        raise BadRequest(message, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    batch = _to_fill(call)
    stored = await call.services.read(lambda tx: batch_rows.load(tx, call.environment, batch))
    check_item = access.may_fill(call)
    # Who may send items of some tasks hears of the batch only once such an item has come.
    is_full = check_item is None and batch_rows.usable(stored, batch).is_sealed
    filled = Filled(0, 0) if is_full else await _fill(call, batch, stored, check_item)
    answer = await call.services.write(
        lambda tx, effects: batches.seal(
            tx,
            call.environment,
            batch,
            accepted=filled.accepted,
            deduplicated=filled.deduplicated,
            effects=effects,
        )
    )
    return Answer(answer)


async def seal(call: Call, request: SealBatchRequest) -> Answer:
    """Close an open batch: all its items were sent."""
    batch = _to_fill(call)
    return Answer(
        await call.services.write(
            lambda tx, effects: batches.close(tx, call.environment, batch, run_count=request.run_count, effects=effects)
        )
    )


async def abort(call: Call, request: AbortBatchRequest) -> Answer:
    """Give a batch up that cannot be filled."""
    batch = _to_fill(call)
    return Answer(
        await call.services.write(
            lambda tx, effects: giving_up.give_up(tx, call.environment, batch, reason=request.reason, effects=effects)
        )
    )


async def retrieve(call: Call, _: None) -> Answer:
    """Show a batch."""
    batch = call.id_of(ids.BATCH, "batch")
    return Answer(await call.services.read(lambda tx: batch_reading.retrieve(tx, call.environment, batch)))


def _to_fill(call: Call) -> uuid.UUID:
    """Return the batch that the path names.

    Raises:
        UnprocessableRequest: It can be none; as of one that is not there. Source: wire contract §2.3.
    """
    try:
        return call.id_of(ids.BATCH, "batch")
    except NotFound as error:
        raise UnprocessableRequest(f"Batch not found: {error.message}") from None


async def _create(call: Call, request: CreateBatchRequest) -> Created:
    asked, limit = public_requests.batch(call, request), call.services.settings.max_batch_items
    key, one_time = public_requests.request_key(call, "batch"), public_requests.one_time(call)
    return await call.services.write(
        lambda tx, effects: batch_creating.create(
            tx, call.environment, asked, request_key=key, one_time=one_time, max_items=limit, effects=effects
        )
    )


async def _fill(
    call: Call, batch: uuid.UUID, stored: BatchRow | None, check_item: Callable[[str], None] | None
) -> Filled:
    total = Filled(0, 0)
    under_way: asyncio.Task[Filled] | None = None
    group: list[BatchItem] = []
    too_long: dict[int, ApiError] = {}
    size, has_items = 0, False
    limit = call.services.settings.trigger_body_bytes
    try:
        async for line in bodies.lines(call.receive, limit):
            item = public_requests.item(call, item_lines.read(line))
            if check_item is not None:
                check_item(item.task)
            has_items = True
            group.append(item)
            size += len(line.text)
            if line.is_cut:
                too_long[item.index] = item_lines.too_long(line, limit)
            if len(group) >= _GROUP or size >= _GROUP_BYTES:
                total = await _add(total, under_way)
                row = batch_rows.usable(stored, batch)
                under_way = asyncio.create_task(_fill_group(call, row, group, too_long))
                group, too_long, size = [], {}, 0
        total = await _add(total, under_way)
        under_way = None
    finally:
        # A stream that breaks off keeps what it brought; nothing may run on unobserved.
        if under_way is not None:
            await asyncio.wait([under_way])
    if check_item is not None and not has_items:
        raise access.denied_items()
    if not group:
        return total
    row = batch_rows.usable(stored, batch)
    return await _add(total, asyncio.create_task(_fill_group(call, row, group, too_long)))


async def _fill_group(call: Call, batch: BatchRow, items: Sequence[BatchItem], too_long: dict[int, ApiError]) -> Filled:
    if not batch.open:
        return await _store(call, batch.id, items, too_long)
    async with call.charged(BATCH_ITEMS, len(items)) as charge:
        filled = await _store(call, batch.id, items, too_long)
        # Only what is new: a stream that is sent again after it was refused gets further each time.
        charge.used = filled.accepted
    return filled


async def _store(call: Call, batch: uuid.UUID, items: Sequence[BatchItem], too_long: dict[int, ApiError]) -> Filled:
    light, heavy = await offloading.payloads(call.services, call.environment, items)
    refusals = {**heavy, **too_long}
    limit = call.services.settings.max_payload_bytes
    return await call.services.write(
        lambda tx, effects: batches.fill(
            tx, call.environment, batch, light, refusals=refusals, max_payload_bytes=limit, effects=effects
        )
    )


async def _add(total: Filled, under_way: asyncio.Task[Filled] | None) -> Filled:
    if under_way is None:
        return total
    done = await under_way
    return Filled(total.accepted + done.accepted, total.deduplicated + done.deduplicated)


ROUTES = (
    Route(
        method="POST",
        path="/api/v3/batches",
        handle=create,
        summary="Create a batch",
        body=CreateBatchRequest,
        limit=lambda _: limits.MAX_CREATE_BATCH_BYTES,
        answer=CreateBatchResponse,
        needs=access.batch_creation,
        statuses=(HTTPStatus.ACCEPTED, HTTPStatus.OK),
        errors=(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
    Route(
        method="POST",
        path="/api/v3/batches/{batch}/items",
        handle=fill,
        summary="Stream the items of a batch",
        # What was created is to be filled; the items of an open batch have a limit of their own.
        rate_limited=False,
        lines=BatchItem,
        answer=FillBatchResponse,
        needs=access.batch_items,
        errors=(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
        ),
    ),
    Route(
        method="POST",
        path="/api/v3/batches/{batch}/seal",
        handle=seal,
        summary="Say how many items an open batch has, all of which were sent",
        rate_limited=False,
        body=SealBatchRequest,
        answer=FillBatchResponse,
        needs=access.batch_end,
        errors=(HTTPStatus.UNPROCESSABLE_ENTITY,),
    ),
    Route(
        method="POST",
        path="/api/v3/batches/{batch}/abort",
        handle=abort,
        summary="Give up a batch that cannot be filled",
        rate_limited=False,
        body=AbortBatchRequest,
        answer=AbortBatchResponse,
        needs=access.batch_end,
        errors=(HTTPStatus.UNPROCESSABLE_ENTITY,),
    ),
    Route(
        method="GET",
        path="/api/v2/batches/{batch}",
        handle=retrieve,
        summary="Retrieve a batch",
        answer=BatchView,
        needs=access.batch_reading,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
