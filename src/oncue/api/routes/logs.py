"""Logs: workers bring the lines of their runs, and clients read those of one."""

from http import HTTPStatus
from typing import Final

from oncue.api import access, named_runs, query_values
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import run_logs
from oncue.protocol import ids
from oncue.protocol.logs import LogsKept, LogsRequest, RunEvents

_PAGE: Final = 1_000
_MOST: Final = 10_000


async def append(call: Call, request: LogsRequest) -> Answer:
    """Store lines of runs."""
    run_logs.check(request.lines)
    kept = await call.services.write(lambda tx, _: run_logs.append(tx, call.environment, request.lines))
    return Answer(LogsKept(kept))


@named_runs.by_any_name
async def read(call: Call, _: None) -> Answer:
    """Show a page of a run's lines."""
    run = call.id_of(ids.RUN, "run")
    query = call.query
    limit = query_values.number(query, "limit", default=_PAGE, largest=_MOST)
    return Answer(
        await call.services.read(
            lambda tx: run_logs.read(tx, call.environment, run, after=query.get("after"), limit=limit)
        )
    )


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/work/logs",
        handle=append,
        summary="A worker brings lines that tasks logged",
        rate_limited=False,
        body=LogsRequest,
        answer=LogsKept,
    ),
    Route(
        method="GET",
        path="/api/v1/runs/{run}/events",
        handle=read,
        summary="List what a run has logged, oldest first",
        answer=RunEvents,
        needs=access.run_reading,
        errors=(HTTPStatus.NOT_FOUND,),
        query=("after", "limit"),
    ),
)
