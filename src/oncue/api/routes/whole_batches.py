"""Whole batches: all items in the request that makes the batch, as clients before 4.3.1 send them.

Source: wire contract §2.5.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from oncue.api import answer_tokens, offloading, public_requests
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import batch_creating, whole_batches
from oncue.engine.rate_limits import BATCH_ITEMS
from oncue.engine.whole_batches import Made
from oncue.protocol import ids, limits
from oncue.protocol.triggers import BatchItem, BatchView, CreateBatchRequest
from oncue.protocol.whole_batches import (
    FirstBatchResponse,
    MadeRun,
    TaskBatchRequest,
    TaskBatchResponse,
    WholeBatchRequest,
    WholeBatchResponse,
)

_KEY: Final = b"idempotency-key"


async def make(call: Call, request: WholeBatchRequest) -> Answer:
    """Make a batch of any tasks."""
    made, _ = await _make(call, _items(request), _asked(call, request))
    return await _answer(call, made, WholeBatchResponse(made.id, made.run_count))


async def make_first(call: Call, request: WholeBatchRequest) -> Answer:
    """Make a batch of any tasks, and say which runs it has."""
    items = _items(request)
    made, is_cached = await _make(call, items, _asked(call, request))
    own = [ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, made.id), item.index)) for item in items]
    runs = [
        MadeRun(run, item.task, run != item_id, item.options.idempotency_key)
        for run, item, item_id in zip(made.runs, items, own, strict=True)
    ]
    response = FirstBatchResponse(made.id, is_cached=is_cached, runs=runs, idempotency_key=made.idempotency_key)
    return await _answer(call, made, response)


async def make_of_task(call: Call, request: TaskBatchRequest) -> Answer:
    """Make a batch of the path's task."""
    task = call.parameters["task"]
    items = [BatchItem(index, task, item.payload, item.options) for index, item in enumerate(request.items)]
    asked = CreateBatchRequest(len(items), task_identifiers=[task], idempotency_key=call.header(_KEY))
    made, _ = await _make(call, items, asked)
    return await _answer(call, made, TaskBatchResponse(made.id, made.runs))


def _items(request: WholeBatchRequest) -> list[BatchItem]:
    return [BatchItem(index, item.task, item.payload, item.options) for index, item in enumerate(request.items)]


def _asked(call: Call, request: WholeBatchRequest) -> CreateBatchRequest:
    return CreateBatchRequest(
        len(request.items),
        task_identifiers=[item.task for item in request.items],
        idempotency_key=call.header(_KEY),
        parent_run_id=request.parent_run_id,
        parent_epoch=request.parent_epoch,
        parent_worker_id=request.parent_worker_id,
        resume_parent_on_completion=request.resume_parent_on_completion,
        call_key=request.call_key,
    )


async def _make(call: Call, items: Sequence[BatchItem], asked: CreateBatchRequest) -> Made:
    batch_creating.check(asked, limits.MAX_WHOLE_BATCH_ITEMS)
    key = public_requests.request_key(call, "batch")
    limit = call.services.settings.max_payload_bytes
    async with call.charged(BATCH_ITEMS, len(items)):
        light, refusals = await offloading.payloads(call.services, call.environment, items)
        return await call.services.write(
            lambda tx, effects: whole_batches.make(
                tx,
                call.environment,
                asked,
                light,
                refusals=refusals,
                max_payload_bytes=limit,
                request_key=key,
                effects=effects,
            )
        )


async def _answer(call: Call, made: BatchView, response: object) -> Answer:
    return Answer(response, HTTPStatus.ACCEPTED, await answer_tokens.for_batch(call, made.id))


_ERRORS: Final = (HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)

ROUTES = (
    Route(
        method="POST",
        path="/api/v2/tasks/batch",
        handle=make,
        summary="Create a batch with its items",
        body=WholeBatchRequest,
        limit=lambda _: limits.MAX_WHOLE_BATCH_BYTES,
        answer=WholeBatchResponse,
        statuses=(HTTPStatus.ACCEPTED,),
        errors=_ERRORS,
    ),
    Route(
        method="POST",
        path="/api/v1/tasks/batch",
        handle=make_first,
        summary="Create a batch with its items, and list its runs",
        body=WholeBatchRequest,
        limit=lambda _: limits.MAX_WHOLE_BATCH_BYTES,
        answer=FirstBatchResponse,
        statuses=(HTTPStatus.ACCEPTED,),
        errors=_ERRORS,
    ),
    Route(
        method="POST",
        path="/api/v1/tasks/{task}/batch",
        handle=make_of_task,
        summary="Create a batch of one task with its items",
        body=TaskBatchRequest,
        limit=lambda _: limits.MAX_WHOLE_BATCH_BYTES,
        answer=TaskBatchResponse,
        statuses=(HTTPStatus.ACCEPTED,),
        errors=_ERRORS,
    ),
)
