"""Tasks: trigger one run."""

from http import HTTPStatus
from typing import Final

import msgspec

from oncue.api import access, answer_tokens, offloading, public_requests
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import requests
from oncue.protocol import ids
from oncue.protocol.triggers import TriggerRequest, TriggerResponse

_KEY: Final = b"idempotency-key"
_KEY_TTL: Final = b"idempotency-key-ttl"


async def trigger(call: Call, request: TriggerRequest) -> Answer:
    """Make a run; callers that arrive together share a transaction."""
    request = public_requests.trigger(call, _with_headers(call, request))
    request = await offloading.payload(call.services, call.environment, request)
    run = requests.plan(
        call.parameters["task"],
        request,
        request_key=public_requests.request_key(call, f"task/{call.parameters['task']}"),
        max_payload_bytes=call.services.settings.max_payload_bytes,
    )
    if (one_time := public_requests.one_time(call)) is not None:
        run = msgspec.structs.replace(run, one_time=one_time)
    triggered = await call.services.triggers.submit(call.environment, run)
    run_id = ids.show(ids.RUN, triggered.run_id)
    return Answer(
        TriggerResponse(run_id, triggered.is_cached, triggered.payload_differs),
        headers=await answer_tokens.for_run(call, run_id),
    )


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
        needs=access.task_trigger,
        errors=(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
)
