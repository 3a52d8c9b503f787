"""Tasks: trigger one run."""

from http import HTTPStatus

from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import requests
from oncue.protocol import ids
from oncue.protocol.triggers import TriggerRequest, TriggerResponse


async def trigger(call: Call, request: TriggerRequest) -> Answer:
    """Make a run; callers that arrive together share a transaction."""
    run = requests.plan(call.parameters["task"], request, request_key=call.request_key)
    triggered = await call.services.triggers.submit(call.environment, run)
    return Answer(TriggerResponse(ids.show(ids.RUN, triggered.run_id), triggered.is_cached))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/tasks/{task}/trigger",
        handle=trigger,
        summary="Trigger a task",
        body=TriggerRequest,
        limit=lambda settings: settings.max_trigger_bytes,
        answer=TriggerResponse,
        errors=(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
)
