"""Object routes: the address of each object where a folder keeps them, for whoever has it signed.

Beside the table of routes: bodies of any size pass through in pieces, without a key and without JSON.
"""

import datetime
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from oncue.api import answers, cors, object_addresses
from oncue.api.object_addresses import Method
from oncue.api.packets import Packets
from oncue.api.settings import ServerSettings
from oncue.protocol.errors import BadRequest, NotFound, PayloadTooLarge
from oncue.store.objects import Folder, StoredObject
from oncue.store.objects.stored import OCTETS

_KEY: Final = "{place}/{day}/{name:path}"
_MAX_TYPE_LENGTH: Final = 200
_HARMLESS: Final = {
    # What is stored here is whatever a client says it is; no browser shall take it for a page of ours.
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-store",
}


async def fetch(request: Request) -> Response:
    """Send an object."""
    try:
        packets, key = await _allowed(request, "GET")
        found = await _read(packets, key)
    except Exception as error:  # every fault becomes an answer  # noqa: BLE001
        return _shared(request, _refusal(request, error))
    headers = {"content-type": found.content_type, "content-length": str(found.size), **_HARMLESS}
    if request.method == "HEAD":
        return _shared(request, Response(headers=headers))
    return _shared(request, StreamingResponse(found.chunks, headers=headers))


async def store(request: Request) -> Response:
    """Take an object."""
    try:
        packets, key = await _allowed(request, "PUT")
        assert isinstance(packets.objects, Folder)
        limit = request.app.state.services.settings.max_object_bytes
        await packets.objects.receive(key, _within(request, limit), _content_type(request))
    except Exception as error:  # every fault becomes an answer  # noqa: BLE001
        return _refusal(request, error)
    return Response()


async def preflight(request: Request) -> Response:
    """Tell a browser that pages may fetch what is here."""
    said = cors.preflight(_origins(request), request.scope, ["GET"])
    return Response(headers=_text(said.headers))


async def _read(packets: Packets, key: str) -> StoredObject:
    found = await packets.objects.read(key)
    if found is None:
        raise NotFound(f"no object {key}: it was never stored, or went with the runs of its day")
    return found


async def _allowed(request: Request, method: Method) -> tuple[Packets, str]:
    packets: Packets = request.app.state.services.packets
    parts = request.path_params
    key = f"{parts['place']}/{parts['day']}/{parts['name']}"
    if not isinstance(packets.objects, Folder):
        raise NotFound("this server keeps its objects in a cloud's store, which has addresses of its own")
    storage = await packets.storage_at(parts["place"])
    secret = None if storage is None else storage.secret
    object_addresses.check(method, key, request.query_params, secret, datetime.datetime.now(datetime.UTC))
    return packets, key


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", OCTETS)
    if len(given) > _MAX_TYPE_LENGTH or not (given.isascii() and given.isprintable()):
        raise BadRequest(f"Content-Type is no media type; expected at most {_MAX_TYPE_LENGTH} printable characters")
    return given


async def _within(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Pass the body on, up to the limit."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(int(declared), limit)
    seen = 0
    try:
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > limit:
                raise _too_large(seen, limit)
            yield chunk
    except ClientDisconnect:
        raise BadRequest("the client went away before the object was complete; nothing was stored") from None


def _too_large(size: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the object is {size:,} bytes or more; the limit is {limit:,}")


def _refusal(request: Request, error: Exception) -> Response:
    answer = answers.from_error(error, method=request.method, path=request.url.path)
    return Response(answers.encode(answer.body), answer.status, _text(answer.headers), media_type="application/json")


def _shared(request: Request, response: Response) -> Response:
    """Say which pages may read an answer."""
    response.headers.update(_text(cors.headers(_origins(request), request.scope)))
    return response


def _origins(request: Request) -> tuple[str, ...]:
    settings: ServerSettings = request.app.state.services.settings
    return settings.cors_origins


def _text(headers: cors.Headers) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers}


ROUTES: Final = (
    Route(object_addresses.PREFIX + _KEY, fetch, methods=["GET"]),
    Route(object_addresses.PREFIX + _KEY, store, methods=["PUT"]),
    Route(object_addresses.PREFIX + _KEY, preflight, methods=["OPTIONS"]),
)
"""For the application's router. ``HEAD`` comes with ``GET``."""
