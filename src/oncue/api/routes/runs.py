"""Runs: look at them, list them, cancel them."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar, get_args

import msgspec

from oncue.api import access, named_runs, query_values, run_views
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import cancellation, reading
from oncue.engine.reading import RunQuery
from oncue.protocol import ids, machines
from oncue.protocol.errors import BadRequest
from oncue.protocol.runs import RunPage, RunView
from oncue.protocol.status import ApiStatus

T = TypeVar("T")

_LARGEST_PAGE: Final = 100
_FILTERS: Final = (
    "filter[status]", "filter[taskIdentifier]", "filter[tag]", "filter[queue]", "filter[batch]", "filter[isTest]",
    "filter[version]", "filter[machine]", "filter[region]", "filter[bulkAction]", "filter[schedule]",
    "filter[createdAt][from]", "filter[createdAt][to]", "filter[createdAt][period]",
)  # fmt: skip
_PAGES: Final = ("page[size]", "page[after]", "page[before]")


class RunReference(msgspec.Struct, frozen=True):
    """The run that was acted upon."""

    id: str


@named_runs.by_any_name
async def retrieve(call: Call, _: None) -> Answer:
    """Show a run."""
    run = call.id_of(ids.RUN, "run")
    view = await call.services.read(lambda tx: reading.retrieve(tx, call.environment, run, words=call.words))
    return Answer(await run_views.addressed(call, run_views.for_reader(call, view)))


async def list_runs(call: Call, _: None) -> Answer:
    """Show runs, newest first."""
    query = parse_query(call.query)
    return Answer(await call.services.read(lambda tx: reading.list_runs(tx, call.environment, query, words=call.words)))


@named_runs.by_any_name
async def cancel(call: Call, _: None) -> Answer:
    """Cancel a run; one that has ended stays as it is."""
    run = call.id_of(ids.RUN, "run")
    await call.services.write(lambda tx, effects: cancellation.cancel(tx, call.environment, [run], effects=effects))
    return Answer(RunReference(ids.show(ids.RUN, run)))


def parse_query(query: dict[str, str]) -> RunQuery:
    """Read what ``runs.list`` asks for.

    Raises:
        BadRequest: A filter is not known, or its value makes no sense.
    """
    for name in query:
        if name.startswith("filter[") and name not in _FILTERS:
            raise BadRequest(f"{name[:60]} is not supported by this server; expected one of {', '.join(_FILTERS)}")

    def read(name: str, parse: Callable[[str, str], T]) -> T | None:
        return parse(name, query[name]) if query.get(name) else None

    before = read("page[before]", lambda _, text: ids.parse(ids.RUN, text))
    after = read("page[after]", lambda _, text: ids.parse(ids.RUN, text))
    return RunQuery(
        statuses=query_values.several_of(query, "filter[status]", get_args(ApiStatus)),
        tasks=query_values.several(query, "filter[taskIdentifier]"),
        tags=query_values.several(query, "filter[tag]"),
        queues=query_values.several(query, "filter[queue]"),
        versions=query_values.several(query, "filter[version]"),
        machines=query_values.several_of(query, "filter[machine]", machines.MACHINES),
        regions=query_values.several(query, "filter[region]"),
        is_scheduled=bool(query.get("filter[schedule]")),
        bulk_action=read("filter[bulkAction]", lambda _, text: ids.parse(ids.BULK, text)),
        batch=read("filter[batch]", lambda _, text: ids.parse(ids.BATCH, text)),
        is_test=read("filter[isTest]", _flag),
        created_from=query_values.moment(query, "filter[createdAt][from]"),
        created_to=query_values.moment(query, "filter[createdAt][to]"),
        period=query_values.period(query, "filter[createdAt][period]"),
        # An official client that turns back sends the cursor by which it came as well.
        after=None if before else after,
        before=before,
        size=query_values.number(query, "page[size]", default=RunQuery().size, largest=_LARGEST_PAGE),
    )


def _flag(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise BadRequest(f"{name}: found {text[:60]!r}; expected true or false")
    return text == "true"


ROUTES = (
    Route(
        method="GET",
        path="/api/v3/runs/{run}",
        handle=retrieve,
        summary="Retrieve a run",
        answer=RunView,
        needs=access.run_reading,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/api/v1/runs",
        handle=list_runs,
        summary="List runs, newest first",
        answer=RunPage,
        needs=access.run_listing,
        query=(*_PAGES, *_FILTERS),
    ),
    Route(
        method="POST",
        path="/api/v2/runs/{run}/cancel",
        handle=cancel,
        summary="Cancel a run and the runs it triggered",
        answer=RunReference,
        needs=access.run_writing,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
