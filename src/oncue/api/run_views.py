"""Run views: a run as it is sent, with addresses for what is kept in the object store, and as its reader may see it."""

import msgspec

from oncue.api import access, addresses
from oncue.api.calls import Call
from oncue.protocol.codec import NOTHING
from oncue.protocol.runs import RunSummary, RunView


async def addressed(call: Call, view: RunView) -> RunView:
    """Return a run with the addresses of its stored documents in place of their paths."""
    if view.payload_presigned_url is None and view.output_presigned_url is None:
        return view
    return msgspec.structs.replace(
        view,
        payload_presigned_url=await _address(call, view.payload_presigned_url),
        output_presigned_url=await _address(call, view.output_presigned_url),
    )


def for_reader(call: Call, view: RunView) -> RunView:
    """Return a run as its reader may see it: who may not read every run is told no more than how its ancestors stand.

    What its owner wrote on them, tags, metadata and keys, may be about somebody else.
    """
    if access.may_read_any_run(call):
        return view
    family = view.related_runs
    return msgspec.structs.replace(
        view,
        related_runs=msgspec.structs.replace(family, root=_bare(family.root), parent=_bare(family.parent)),
    )


def _bare(run: RunSummary | None) -> RunSummary | None:
    if run is None:
        return None
    return msgspec.structs.replace(run, tags=[], metadata=NOTHING, idempotency_key=None, concurrency_key=None)


async def _address(call: Call, path: str | None) -> str | None:
    return None if path is None else await addresses.of_document(call, path)
