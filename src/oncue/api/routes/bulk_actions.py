"""Bulk actions: cancel or replay many runs, look how far that is, and abort it.

Source: wire contract §2.7.
"""

from http import HTTPStatus
from typing import Final

from oncue.api import bulk_selections, query_values
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import bulk_actions
from oncue.protocol import ids
from oncue.protocol.bulk_actions import BulkAction, BulkActionPage, BulkActionReference, CreateBulkActionRequest
from oncue.protocol.errors import BadRequest

_PAGE: Final = 25
_LARGEST_PAGE: Final = 100
_QUERY: Final = ("page[size]", "page[after]", "page[before]")


async def create(call: Call, request: CreateBulkActionRequest) -> Answer:
    """Choose the runs of an action, and have it begin."""
    wish = bulk_selections.read(request)
    key = call.request_key
    made = await call.services.write(lambda tx, _: bulk_actions.create(tx, call.environment, wish, request_key=key))
    call.services.upkeep.nudge("work_in_bulk")
    return Answer(made)


async def list_actions(call: Call, _: None) -> Answer:
    """Show actions, newest first."""
    query = call.query
    for name in query:
        if name not in _QUERY:
            raise BadRequest(f"{name[:60]} is not supported by this server; expected one of {', '.join(_QUERY)}")
    after, before = (query.get(f"page[{side}]") for side in ("after", "before"))
    size = query_values.number(query, "page[size]", default=_PAGE, largest=_LARGEST_PAGE)
    return Answer(
        await call.services.read(
            lambda tx: bulk_actions.list_actions(
                tx,
                call.environment,
                after=ids.parse(ids.BULK, after) if after else None,
                before=ids.parse(ids.BULK, before) if before else None,
                size=size,
            )
        )
    )


async def retrieve(call: Call, _: None) -> Answer:
    """Show an action."""
    action = call.id_of(ids.BULK, "action")
    return Answer(await call.services.read(lambda tx: bulk_actions.retrieve(tx, call.environment, action)))


async def abort(call: Call, _: None) -> Answer:
    """Let no more runs of an action be gone through."""
    action = call.id_of(ids.BULK, "action")
    await call.services.write(lambda tx, _: bulk_actions.abort(tx, call.environment, action))
    return Answer(BulkActionReference(ids.show(ids.BULK, action)))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/bulk-actions",
        handle=create,
        summary="Cancel or replay many runs",
        body=CreateBulkActionRequest,
        answer=BulkAction,
    ),
    Route(
        method="GET",
        path="/api/v1/bulk-actions",
        handle=list_actions,
        summary="List bulk actions, newest first",
        answer=BulkActionPage,
        query=_QUERY,
    ),
    Route(
        method="GET",
        path="/api/v1/bulk-actions/{action}",
        handle=retrieve,
        summary="Retrieve a bulk action",
        answer=BulkAction,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/api/v1/bulk-actions/{action}/abort",
        handle=abort,
        summary="Go through no more runs of a bulk action",
        answer=BulkActionReference,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
