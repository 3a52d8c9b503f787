"""Packets: addresses at which clients store and fetch what is too large to travel with a call.

Source: wire contract §2.10. ``size`` and ``kind`` are ours: who gives them is refused before anything is sent.
"""

from http import HTTPStatus
from typing import Final, get_args

from oncue.api import access, addresses, named_runs, query_values
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import reading
from oncue.protocol import ids
from oncue.protocol import packets as packet_rules
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.packets import Kind, PresignedDownload, PresignedUpload

_LARGEST_SIZE: Final = 1 << 53


async def upload(call: Call, _: None) -> Answer:
    """Say where a document may be stored."""
    query, settings = call.query, call.services.settings
    kind = query.get("kind", "payload")
    if kind not in get_args(Kind):
        raise BadRequest(f"kind: found {kind[:60]!r}; expected {' or '.join(get_args(Kind))}")
    size = query_values.number(query, "size", default=0, largest=_LARGEST_SIZE, smallest=0)
    limit = settings.max_payload_bytes if kind == "payload" else settings.max_output_bytes
    if size > limit:
        raise packet_rules.too_large(kind, size, limit)
    return Answer(
        await call.services.packets.upload_address(call.environment, call.parameters["name"], addresses.base(call))
    )


async def download(call: Call, _: None) -> Answer:
    """Say where a document can be fetched."""
    return Answer(PresignedDownload(await addresses.of_document(call, call.parameters["path"])))


@named_runs.by_any_name
async def download_of_run(call: Call, _: None) -> Answer:
    """Say where a run's payload or output can be fetched."""
    run = call.id_of(ids.RUN, "run")
    kind = call.parameters["kind"]
    if kind not in get_args(Kind):
        raise NotFound(f"a run has no {kind[:60]!r}; expected {' or '.join(get_args(Kind))}")
    view = await call.services.read(lambda tx: reading.retrieve(tx, call.environment, run))
    path = view.payload_presigned_url if kind == "payload" else view.output_presigned_url
    if path is None:
        raise NotFound(f"the {kind} of run {view.id} is not kept in the object store; retrieve the run to see it")
    return Answer(PresignedDownload(await addresses.of_document(call, path)))


_REFUSALS: Final = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE,)

# Workers ask for addresses too, and cannot begin or end a run without.
ROUTES = (
    Route(
        method="PUT",
        path="/api/v2/packets/{name}",
        handle=upload,
        summary="Ask where a large payload or output may be stored",
        rate_limited=False,
        answer=PresignedUpload,
        errors=_REFUSALS,
        query=("size", "kind"),
    ),
    Route(
        method="GET",
        path="/api/v1/packets/{path}",
        handle=download,
        summary="Ask where a large payload or output can be fetched",
        rate_limited=False,
        answer=PresignedDownload,
        needs=access.packet_reading,
    ),
    Route(
        method="GET",
        path="/api/v1/runs/{run}/packets/{kind}",
        handle=download_of_run,
        summary="Ask where a run's large payload or output can be fetched",
        rate_limited=False,
        answer=PresignedDownload,
        needs=access.run_reading,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
