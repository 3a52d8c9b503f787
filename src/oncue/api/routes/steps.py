"""Steps: a run keeps the result of what it did itself, and asks for it when it was started again."""

from http import HTTPStatus

import msgspec

from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import steps
from oncue.protocol import codec
from oncue.protocol.work import StepCall, StepKept, StepRecalled, StepRecord


async def record(call: Call, request: StepRecord) -> Answer:
    """Keep the result of a step."""
    output = bytes(request.output) or b"null"
    codec.checked(output, "output")
    await call.services.write(lambda tx, _: steps.record(tx, call.environment, request.step, output))
    return Answer(StepKept())


async def recall(call: Call, request: StepCall) -> Answer:
    """Show the result of a step that was taken before the run was started again."""
    output = await call.services.write(lambda tx, _: steps.recall(tx, call.environment, request))
    return Answer(StepRecalled() if output is None else StepRecalled(found=True, output=msgspec.Raw(output)))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/work/steps",
        handle=record,
        summary="A run keeps the result of a step",
        rate_limited=False,
        body=StepRecord,
        answer=StepKept,
        errors=(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ),
    Route(
        method="POST",
        path="/api/v1/work/steps/recall",
        handle=recall,
        summary="A run that was started again asks for the result of a step",
        rate_limited=False,
        body=StepCall,
        answer=StepRecalled,
        errors=(HTTPStatus.CONFLICT,),
    ),
)
