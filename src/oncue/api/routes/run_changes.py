"""Run changes: another time for a delayed run, and a run once more."""

from http import HTTPStatus

from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import rescheduling
from oncue.protocol import ids
from oncue.protocol.runs import RescheduleRequest, RunView


async def reschedule(call: Call, request: RescheduleRequest) -> Answer:
    """Hold a delayed run until another moment."""
    run = ids.parse(ids.RUN, call.parameters["run"])
    when = rescheduling.plan(request.delay)
    return Answer(
        await call.services.write(
            lambda tx, effects: rescheduling.reschedule(tx, call.environment, run, when, effects=effects)
        )
    )


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
)
