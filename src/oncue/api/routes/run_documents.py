"""Run documents: what is changed of a run while it runs, its metadata and its tags."""

from http import HTTPStatus

from oncue.api import named_runs
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import run_metadata, run_tags
from oncue.protocol import ids, limits
from oncue.protocol.metadata import AddTagsRequest, AddTagsResponse, MetadataUpdate, MetadataView


@named_runs.by_any_name
async def read_metadata(call: Call, _: None) -> Answer:
    """Show a run's metadata."""
    run = call.id_of(ids.RUN, "run")
    return Answer(await call.services.read(lambda tx: run_metadata.read(tx, call.environment, run)))


@named_runs.by_any_name
async def change_metadata(call: Call, update: MetadataUpdate) -> Answer:
    """Change the metadata of a run, of its parent and of its root."""
    run = call.id_of(ids.RUN, "run")
    wanted = run_metadata.plan(update)
    key = call.request_key
    return Answer(
        await call.services.write(
            lambda tx, effects: run_metadata.change(tx, call.environment, run, wanted, request_key=key, effects=effects)
        )
    )


@named_runs.by_any_name
async def add_tags(call: Call, request: AddTagsRequest) -> Answer:
    """Add tags to a run."""
    run = call.id_of(ids.RUN, "run")
    tags = run_tags.plan(request.tags)
    added = await call.services.write(
        lambda tx, effects: run_tags.add(tx, call.environment, run, tags, effects=effects)
    )
    if not added:
        return Answer(AddTagsResponse("no new tags to add"))
    return Answer(AddTagsResponse(f"added {added} new tag{'s' if added > 1 else ''}"))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/runs/{run}/metadata",
        handle=read_metadata,
        summary="Retrieve the metadata of a run",
        answer=MetadataView,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        method="PUT",
        path="/api/v1/runs/{run}/metadata",
        handle=change_metadata,
        summary="Change the metadata of a run, of its parent and of its root",
        # Workers tell it of their runs, whose end waits for the answer.
        rate_limited=False,
        body=MetadataUpdate,
        limit=lambda _: limits.MAX_METADATA_UPDATE_BYTES,
        answer=MetadataView,
        errors=(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        ),
    ),
    Route(
        method="POST",
        path="/api/v1/runs/{run}/tags",
        handle=add_tags,
        summary="Add tags to a run",
        body=AddTagsRequest,
        answer=AddTagsResponse,
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
)
