"""Answers: Structs become JSON over HTTP, errors become ``{"error", "code"}`` with a status.

Clients of the wire contract send a request again unless told not to; ``x-should-retry: false`` goes with every
refusal that sending again cannot cure.

Source: wire contract §1.3, §1.4, §1.5.
"""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.types import Receive, Send

from oncue import telemetry
from oncue.api.calls import Answer, Call
from oncue.api.rate_limiting import Standing
from oncue.api.seats import Owner
from oncue.protocol.errors import (
    ApiError,
    ConnectionFailed,
    OncueError,
    PermissionDenied,
    RateLimited,
    Unauthorized,
    Unavailable,
)

encode: Final = msgspec.json.Encoder().encode
_NO_RETRY: Final = (b"x-should-retry", b"false")
_RETRY_AFTER: Final = (b"retry-after", b"1")
_SEND_SECONDS: Final = 60.0
"""Who has read nothing for so long is not waited for; he can come back and read on."""
_PIECE_BYTES: Final = 64 * 1024
ABORT: Final = "oncue.abort"
"""In a request's scope, from whoever serves: drops its connection with what has not been sent."""
_PROBLEM: Final = b"application/problem+json"
_ABOUT: Final = "about:blank"
_FOR_PAGES: Final = frozenset({b"access-control-allow-origin", b"access-control-expose-headers", b"vary"})
"""Headers by which a page may read an answer, whatever it is."""
_CURED_BY_TIME: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong, in words and as a stable code."""

    error: str
    code: str
    param: str | None = None
    """What of the request is wrong; of a refusal for want of rights."""
    type: str | None = None
    """The kind of refusal, likewise."""


class UnauthorizedBody(msgspec.Struct, frozen=True):
    """What is wrong with the credentials, as a problem of RFC 9457 and as ``ErrorBody`` says it."""

    title: str
    status: int
    type: str
    detail: str
    error: str
    code: str


class RateLimitBody(msgspec.Struct, frozen=True, rename="camel"):
    """Which rate limit was reached and when to come back, as a problem of RFC 9457 and as ``ErrorBody`` says it."""

    title: str
    status: int
    type: str
    detail: str
    reset: int
    """Epoch milliseconds."""
    limit: int
    remaining: int
    seconds_until_reset: int
    error: str
    code: str


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer."""
    body = answer.body if isinstance(answer.body, bytes) else encode(answer.body)
    await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer, body)})
    await send({"type": "http.response.body", "body": body})


async def send_whole(call: Call, send: Send, answer: Answer, owner: Owner | None) -> None:
    """Send an answer that is there, a large one in pieces for as long as the client reads.

    Args:
        call: The request.
        send: Sends messages.
        answer: Its answer.
        owner: Whose it is; None: nobody's.
    """
    body = answer.body if isinstance(answer.body, bytes) else encode(answer.body)
    if len(body) <= _PIECE_BYTES:
        await send_answer(send, answer._replace(body=body))
        return
    try:
        with call.services.unread.kept(owner, len(body)):
            await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer, body)})
            await _send_each(send, _parts(body))
    except RateLimited as error:
        refused = from_error(error, method=call.scope["method"], path=call.scope["path"])
        for_pages = [header for header in answer.headers if header[0] in _FOR_PAGES]
        await send_answer(send, refused._replace(headers=(*refused.headers, *for_pages)))
    except ConnectionFailed:
        call.scope.get(ABORT, _nothing)()


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _headers(answer: Answer, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", answer.media_type), (b"content-length", b"%d" % len(body)), *answer.headers]


async def send_pieces(call: Call, send: Send, answer: Answer) -> None:
    """Send an answer piece by piece as it is made, for as long as the client is there and reads.

    Where an error ends it, or the server is about to stop, the connection is broken off: the client is not to take what
    it has for everything.
    """
    headers = [(b"content-type", answer.media_type), *answer.headers]
    async with aclosing(answer.body) as pieces:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if call.scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        sending = asyncio.create_task(_send_each(send, pieces), name="oncue-pieces")
        leaving = asyncio.create_task(_gone(call.receive), name="oncue-leaving")
        try:
            with call.services.cancelled_by_drain(sending):
                await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            (error,) = await asyncio.gather(sending, return_exceptions=True)
    if error is None:
        return
    # A client that does not read would keep a connection that is closed in good order, and so the server that stops.
    call.scope.get(ABORT, _nothing)()
    if isinstance(error, Exception) and not isinstance(error, OncueError):
        raise error


async def _send_each(send: Send, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            async with asyncio.timeout(_SEND_SECONDS):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        async with asyncio.timeout(_SEND_SECONDS):
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        raise ConnectionFailed("the client does not read what it is sent") from None


def _nothing() -> None:
    pass


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def refusal(status: int, message: str, code: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """Return the answer that says no."""
    is_client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if (is_client_error and status not in _CURED_BY_TIME) or status == HTTPStatus.NOT_IMPLEMENTED:
        headers = (*headers, _NO_RETRY)
    return Answer(ErrorBody(message, code), status, headers)


def _without_rights(message: str) -> Answer:
    body = ErrorBody(message, Unauthorized.code, param="access_token", type="authorization")
    return Answer(body, HTTPStatus.FORBIDDEN, (_NO_RETRY,))


def _without_credentials(message: str) -> Answer:
    # Source: wire contract §1.5.
    status = HTTPStatus.UNAUTHORIZED
    body = UnauthorizedBody(status.phrase, status, _ABOUT, message, error=message, code=Unauthorized.code)
    return Answer(body, status, (_NO_RETRY,), _PROBLEM)


def rate_limited(message: str, standing: Standing) -> Answer:
    """Return the answer that says when to come back; its rate-limit headers are those of every answer."""
    seconds = max(1, math.ceil(standing.wait_s))
    status = HTTPStatus.TOO_MANY_REQUESTS
    body = RateLimitBody(
        title=status.phrase,
        status=status,
        type=_ABOUT,
        detail=message,
        reset=standing.reset_ms,
        limit=standing.limit,
        remaining=standing.remaining,
        seconds_until_reset=seconds,
        error=message,
        code=RateLimited.code,
    )
    return Answer(body, status, ((b"retry-after", b"%d" % seconds),), _PROBLEM)


def rate_limit_headers(standing: Standing) -> tuple[tuple[bytes, bytes], ...]:
    """Return what an answer says of a rate limit."""
    return (
        (b"x-ratelimit-limit", b"%d" % standing.limit),
        (b"x-ratelimit-remaining", b"%d" % standing.remaining),
        (b"x-ratelimit-reset", b"%d" % standing.reset_ms),
    )


def from_error(error: Exception, *, method: str, path: str) -> Answer:
    """Return the answer for an error, and log it if nobody foresaw it."""
    match error:
        case PermissionDenied():
            return _without_rights(error.message)
        case Unauthorized():
            return _without_credentials(error.message)
        case Unavailable():
            return refusal(error.status, error.message, error.code, headers=(_RETRY_AFTER,))
        case ApiError(status=status) if status:
            return refusal(status, error.message, error.code)
        case ApiError():
            # The client is gone; nobody reads this.
            return refusal(HTTPStatus.BAD_REQUEST, error.message, error.code)
    request_id = uuid.uuid4().hex
    told = str(error) if isinstance(error, OncueError) else ""
    telemetry.event(
        "request.failed",
        request_id=request_id,
        method=method,
        path=path,
        error=type(error).__name__,
        message=told,
        trace=telemetry.places(error),
    )
    message = f"Internal server error; the server's log has it as request {request_id}"
    return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, "server_error")
