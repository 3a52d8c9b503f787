"""Run changes: another time for a delayed run, and a run once more."""

from http import HTTPStatus

from oncue.api import access, named_runs, offloading, public_requests, run_views
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import replaying, rescheduling
from oncue.protocol import ids
from oncue.protocol.errors import ApiError
from oncue.protocol.runs import ReplayRequest, ReplayResponse, RescheduleRequest, RunView


@named_runs.by_any_name
async def reschedule(call: Call, request: RescheduleRequest) -> Answer:
    """Hold a delayed run until another moment."""
    run = call.id_of(ids.RUN, "run")
    when = rescheduling.plan(request.delay)
    view = await call.services.write(
        lambda tx, effects: rescheduling.reschedule(tx, call.environment, run, when, words=call.words, effects=effects)
    )
    return Answer(await run_views.addressed(call, view))


@named_runs.by_any_name
async def replay(call: Call, request: ReplayRequest) -> Answer:
    """Make a run that is asked to do what another one was."""
    wish = replaying.plan(
        call.id_of(ids.RUN, "run"),
        public_requests.replay(call, request),
        request_key=public_requests.request_key(call, f"replay/{call.parameters['run']}"),
        one_time=public_requests.one_time(call),
    )
    wish = await offloading.replay(call.services, call.environment, wish)
    limit = call.services.settings.max_payload_bytes
    (made,) = await call.services.write(
        lambda tx, effects: replaying.replay(tx, call.environment, [wish], max_payload_bytes=limit, effects=effects)
    )
    if isinstance(made, ApiError):
        raise made
    return Answer(made)


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/runs/{run}/reschedule",
        handle=reschedule,
        summary="Hold a delayed run until another moment",
        body=RescheduleRequest,
        answer=RunView,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/api/v1/runs/{run}/replay",
        handle=replay,
        summary="Trigger what a run was asked to do once more",
        body=ReplayRequest,
        empty_body=ReplayRequest(),
        limit=lambda settings: settings.trigger_body_bytes,
        answer=ReplayResponse,
        needs=access.run_writing,
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ),
)
