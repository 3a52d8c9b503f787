"""Queues: list them, look at one, pause it, resume it, override its limit.

A queue is named in the path, and ``type`` says by what: its id, the id of the task whose own queue it is, or its name.

Source: wire contract §1.7, §7, §8.9.
"""

import re
from http import HTTPStatus
from typing import Final, get_args

import msgspec

from oncue.api import access, query_values
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import queue_reading, queues
from oncue.engine.queue_reading import QueueRef
from oncue.protocol import limits
from oncue.protocol.errors import BadRequest
from oncue.protocol.queues import (
    OverrideRequest,
    PauseRequest,
    QueueAction,
    QueueNaming,
    QueuePage,
    QueueView,
    ResetRequest,
)

_PAGE_SIZE: Final = 25
_LARGEST_PAGE: Final = 100
_LAST_PAGE: Final = 1_000_000
"""Beyond what any environment has, and small enough to be counted with."""
_SLASH: Final = re.compile("%2f", re.IGNORECASE)


async def list_queues(call: Call, _: None) -> Answer:
    """Show queues, by name."""
    query = call.query
    page = query_values.number(query, "page", default=1, largest=_LAST_PAGE)
    size = query_values.number(query, "perPage", default=_PAGE_SIZE, largest=_LARGEST_PAGE)
    # Written: the queues that tasks declare come into being when somebody asks for them.
    return Answer(
        await call.services.write(
            lambda tx, _: queue_reading.list_queues(tx, call.environment, page=page, size=size),
        )
    )


async def retrieve(call: Call, _: None) -> Answer:
    """Show a queue."""
    queue = _ref(call, call.query.get("type", "id"))
    return Answer(await call.services.write(lambda tx, _: queue_reading.retrieve(tx, call.environment, queue)))


async def pause(call: Call, request: PauseRequest) -> Answer:
    """Pause a queue, or resume it."""
    queue = _ref(call, request.type)
    try:
        action = msgspec.convert(request.action, QueueAction)
    except msgspec.ValidationError:
        raise _not_one_of("action", request.action, get_args(QueueAction)) from None
    act = queues.pause if action == "pause" else queues.resume
    return Answer(await call.services.write(lambda tx, effects: act(tx, call.environment, queue, effects=effects)))


async def override(call: Call, request: OverrideRequest) -> Answer:
    """Let another limit win over the code's."""
    queue, limit = _ref(call, request.type), request.concurrency_limit
    if not 0 <= limit <= limits.MAX_OVERRIDE_LIMIT:
        raise BadRequest(f"concurrencyLimit: found {limit}; expected 0 to {limits.MAX_OVERRIDE_LIMIT:,}")
    return Answer(
        await call.services.write(
            lambda tx, effects: queues.override_limit(tx, call.environment, queue, limit, effects=effects)
        )
    )


async def reset(call: Call, request: ResetRequest) -> Answer:
    """Let the code's limit hold again."""
    queue = _ref(call, request.type)
    return Answer(
        await call.services.write(lambda tx, effects: queues.reset_limit(tx, call.environment, queue, effects=effects))
    )


def _ref(call: Call, naming: str) -> QueueRef:
    """Read which queue is meant; official clients encode the slashes of a name twice."""
    try:
        return QueueRef(msgspec.convert(naming, QueueNaming), _SLASH.sub("/", call.parameters["queue"]))
    except msgspec.ValidationError:
        raise _not_one_of("type", naming, get_args(QueueNaming)) from None


def _not_one_of(field: str, found: str, accepted: tuple[str, ...]) -> BadRequest:
    return BadRequest(f"{field}: found {found[:60]!r}; expected {', '.join(accepted[:-1])} or {accepted[-1]}")


_ERRORS: Final = (HTTPStatus.NOT_FOUND,)

ROUTES = (
    Route(
        method="GET",
        path="/api/v1/queues",
        handle=list_queues,
        summary="List queues, by name",
        answer=QueuePage,
        needs=access.queue_reading,
        query=("page", "perPage"),
    ),
    Route(
        method="GET",
        path="/api/v1/queues/{queue}",
        handle=retrieve,
        summary="Retrieve a queue",
        answer=QueueView,
        needs=access.queue_reading,
        errors=_ERRORS,
        query=("type",),
    ),
    Route(
        method="POST",
        path="/api/v1/queues/{queue}/pause",
        handle=pause,
        summary="Pause a queue, or resume it",
        body=PauseRequest,
        answer=QueueView,
        needs=access.queue_writing,
        errors=_ERRORS,
    ),
    Route(
        method="POST",
        path="/api/v1/queues/{queue}/concurrency/override",
        handle=override,
        summary="Let another limit of a queue win over the code's",
        body=OverrideRequest,
        answer=QueueView,
        needs=access.queue_writing,
        errors=_ERRORS,
    ),
    Route(
        method="POST",
        path="/api/v1/queues/{queue}/concurrency/reset",
        handle=reset,
        summary="Let the code's limit of a queue hold again",
        body=ResetRequest,
        answer=QueueView,
        needs=access.queue_writing,
        errors=_ERRORS,
    ),
)
