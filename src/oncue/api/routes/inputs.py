"""Inputs: what a run is sent while it goes on, and how it follows that.

Source: wire contract §6.4.
"""

import uuid
from http import HTTPStatus
from typing import Final

import msgspec

from oncue.api import access, named_runs
from oncue.api.calls import Answer, Call
from oncue.api.routes import streams
from oncue.api.routing import Route
from oncue.engine import run_streams
from oncue.engine.run_streams import Name
from oncue.protocol import limits
from oncue.protocol.errors import BadRequest
from oncue.protocol.streams import ChunksTaken, SendInput, StreamEvent


@named_runs.by_any_name
async def send(call: Call, body: SendInput) -> Answer:
    """Take a value for a run."""
    run, key = streams.run_of(call), streams.key_of(call)
    part = streams.name_of(call, b"x-part-id", call.request_key or uuid.uuid4().hex)
    data = _in_one_line(body.data)
    await call.services.write(
        lambda tx, effects: run_streams.send(tx, call.environment, run, key, data, part=part, effects=effects)
    )
    return Answer(ChunksTaken())


async def read(call: Call, _: None) -> Answer:
    """Send what a run is sent as it comes, until the run has ended."""
    return await streams.follow(call, Name(streams.key_of(call), is_input=True))


def _in_one_line(data: msgspec.Raw) -> str:
    try:
        return msgspec.json.format(bytes(data), indent=-1).decode()
    except RecursionError:
        raise BadRequest("data is nested too deeply; expected fewer than about 1,000 levels") from None


_PATH: Final = "/realtime/v1/streams/{run}/input/{key}"

ROUTES = (
    Route(
        method="POST",
        path=_PATH,
        handle=send,
        summary="Send a value to a run",
        needs=access.input_sending,
        body=SendInput,
        limit=lambda _: limits.MAX_INPUT_BYTES,
        answer=ChunksTaken,
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ),
    Route(
        method="GET",
        path=_PATH,
        handle=read,
        summary="Follow what a run is sent as server-sent events",
        needs=access.run_reading,
        answer=StreamEvent,
        media_type=streams.MEDIA_TYPE,
        errors=(HTTPStatus.NOT_FOUND,),
        rate_limited=False,
    ),
)
"""Before those of ``streams``, whose paths have room for any word where these have ``input``."""
