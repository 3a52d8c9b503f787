"""Idempotency: forget a key, so that the next call with it makes a new run."""

from http import HTTPStatus

import msgspec

from oncue.api import access
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import idempotency
from oncue.protocol.errors import NotFound
from oncue.protocol.triggers import ResetKeyRequest


class KeyReference(msgspec.Struct, frozen=True):
    """The key that was acted upon."""

    id: str


async def reset(call: Call, request: ResetKeyRequest) -> Answer:
    """Forget a key of a task."""
    key, task = call.parameters["key"], request.task_identifier
    found = await call.services.write(lambda tx, _: idempotency.reset(tx, call.environment, task=task, key=key))
    if not found:
        raise NotFound(
            f"No runs found with idempotency key {key[:80]!r} and task {task[:80]!r}; a key belongs to its task and "
            "environment, and is sent as its hash"
        )
    return Answer(KeyReference(key))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/idempotencyKeys/{key}/reset",
        handle=reset,
        summary="Forget an idempotency key",
        body=ResetKeyRequest,
        answer=KeyReference,
        needs=access.key_reset,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
