"""Traces: clients read the family of a run as a tree."""

from http import HTTPStatus

from oncue.api import access, named_runs
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import tracing
from oncue.protocol import ids
from oncue.protocol.traces import TraceView


@named_runs.by_any_name
async def read(call: Call, _: None) -> Answer:
    """Show the family of a run; to who may read some runs only, the run and what it has led to."""
    run = call.id_of(ids.RUN, "run")
    whole = access.may_read_any_run(call)
    return Answer(TraceView(await call.services.read(lambda tx: tracing.read(tx, call.environment, run, whole=whole))))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/runs/{run}/trace",
        handle=read,
        summary="Show the family that a run belongs to as a tree of spans, with what they have logged",
        answer=TraceView,
        needs=access.run_reading,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
