"""Run views: a run as it is sent, with addresses for what is kept in the object store."""

import msgspec

from oncue.api import addresses
from oncue.api.calls import Call
from oncue.protocol.runs import RunView


async def addressed(call: Call, view: RunView) -> RunView:
    """Return a run with the addresses of its stored documents in place of their paths."""
    if view.payload_presigned_url is None and view.output_presigned_url is None:
        return view
    return msgspec.structs.replace(
        view,
        payload_presigned_url=await _address(call, view.payload_presigned_url),
        output_presigned_url=await _address(call, view.output_presigned_url),
    )


async def _address(call: Call, path: str | None) -> str | None:
    return None if path is None else await addresses.of_document(call, path)
