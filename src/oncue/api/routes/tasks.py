"""Tasks: trigger one run."""

from http import HTTPStatus
from typing import Final

import msgspec

from oncue.api import offloading
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import requests
from oncue.protocol import ids
from oncue.protocol.triggers import TriggerRequest, TriggerResponse

_KEY: Final = b"idempotency-key"
_KEY_TTL: Final = b"idempotency-key-ttl"


async def trigger(call: Call, request: TriggerRequest) -> Answer:
    """Make a run; callers that arrive together share a transaction."""
    request = await offloading.payload(call.services, call.environment, _with_headers(call, request))
    run = requests.plan(
        call.parameters["task"],
        request,
        request_key=call.request_key,
        max_payload_bytes=call.services.settings.max_payload_bytes,
    )
    triggered = await call.services.triggers.submit(call.environment, run)
    return Answer(TriggerResponse(ids.show(ids.RUN, triggered.run_id), triggered.is_cached, triggered.payload_differs))


def _with_headers(call: Call, request: TriggerRequest) -> TriggerRequest:
    """Let the headers of an idempotency key win over the body's fields. Source: wire contract §2.1."""
    said = {
        field: value
        for field, header in (("idempotency_key", _KEY), ("idempotency_key_ttl", _KEY_TTL))
        if (value := call.header(header)) is not None
    }
    if not said:
        return request
    return msgspec.structs.replace(request, options=msgspec.structs.replace(request.options, **said))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/tasks/{task}/trigger",
        handle=trigger,
        summary="Trigger a task",
        body=TriggerRequest,
        limit=lambda settings: settings.trigger_body_bytes,
        answer=TriggerResponse,
        errors=(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
)
