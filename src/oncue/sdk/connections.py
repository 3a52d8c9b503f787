"""Connections: one HTTP request, sent by aiohttp on an event loop or by urllib3 on a thread.

Each event loop has one session, which closes with the loop; threads share one pool for each process. Nothing is sent
twice here: repeating is decided in ``flows.py``. The libraries are imported at the first call.
"""

import io
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.requests import HttpRequest

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from aiohttp import ClientSession
    from urllib3 import PoolManager

CONNECT_TIMEOUT_S: Final = 10.0
ASYNC_CONNECTIONS: Final = 100
THREAD_CONNECTIONS: Final = 100
"""Kept open between calls; more threads than this open connections of their own for a moment."""
SILENCE_S: Final = 60.0
"""A peer that sends nothing for so long is taken for dead."""
IDLE_S: Final = 15.0
"""Well below what servers and proxies keep, 60 s and more, so that no request meets a connection being closed."""

Kind: TypeAlias = Literal["calls", "transfers", "held"]
CALLS: Final = "calls"
TRANSFERS: Final = "transfers"
"""Documents on their way to the object store or from there."""
HELD: Final = "held"
"""Requests that the server holds open: each has a connection for as long as somebody subscribes."""

_LARGE_BYTES: Final = 512 * 1024
_OK: Final = 200


class _Kept(NamedTuple):
    session: "ClientSession"
    keeper: AsyncGenerator[None, None]


_sessions: "dict[tuple[AbstractEventLoop, Kind], _Kept]" = {}
"""By loop and kind of connection."""
_pool: "tuple[int, PoolManager] | None" = None


async def send(
    request: HttpRequest, timeout_s: float, now: Callable[[], float], *, by: Kind = CALLS
) -> Answer | NoAnswer:
    """Send a request from the running event loop.

    Args:
        request: What to send.
        timeout_s: After which it is given up.
        now: The clock.
        by: Kind of connection: many slow requests must not hold up a call of the server.
    """
    import aiohttp
    import yarl

    session = await _session(by)
    try:
        async with session.request(
            request.method,
            # The path is quoted already: a slash inside an id must arrive as %2F.
            yarl.URL(request.url, encoded=True),
            data=sendable(request.body),
            headers=request.headers,
            # Silence counts only where nothing is being sent: a large body may take longer than that.
            timeout=aiohttp.ClientTimeout(
                total=timeout_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=None if request.body else SILENCE_S
            ),
            allow_redirects=False,
        ) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body, now())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return NoAnswer(_named(error, request.url), now())


def send_blocking(request: HttpRequest, timeout_s: float, now: Callable[[], float]) -> Answer | NoAnswer:
    """Send a request from this thread."""
    import urllib3

    try:
        response = _thread_pool().request(
            request.method,
            request.url,
            body=request.body,
            headers=request.headers,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=min(timeout_s, SILENCE_S)),
            retries=False,
            redirect=False,
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return NoAnswer(_named(error, request.url), now())
    return Answer(response.status, response.headers, response.data, now())


async def pieces(request: HttpRequest, now: Callable[[], float]) -> AsyncGenerator[bytes | Answer | NoAnswer, None]:
    """Yield the body of an answer as it comes; last of all an answer that is none of 200, or why it broke off."""
    import aiohttp
    import yarl

    session = await _session(HELD)
    try:
        async with session.get(
            yarl.URL(request.url, encoded=True),
            headers=request.headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_S),
            allow_redirects=False,
        ) as response:
            if response.status != _OK:
                yield Answer(response.status, response.headers, await response.read(), now())
                return
            async for piece in response.content.iter_any():
                yield piece
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        yield NoAnswer(_named(error, request.url), now())


def pieces_blocking(request: HttpRequest, now: Callable[[], float]) -> Generator[bytes | Answer | NoAnswer, None, None]:
    """Yield the body of an answer on this thread; see ``pieces``."""
    import urllib3

    try:
        response = _thread_pool().request(
            "GET",
            request.url,
            headers=request.headers,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=SILENCE_S),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            if response.status != _OK:
                yield Answer(response.status, response.headers, response.data, now())
                return
            yield from response.stream(None)
        finally:
            # Not to be used again: what is left of it may be without end.
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        yield NoAnswer(_named(error, request.url), now())


def sendable(body: bytes | None) -> bytes | io.BytesIO | None:
    """Return a body as aiohttp sends it without holding the event loop up; made anew for each attempt."""
    # A large one is written piece by piece; aiohttp warns of one given as bytes from 1 MiB on.
    return io.BytesIO(body) if body is not None and len(body) >= _LARGE_BYTES else body


async def _session(kind: Kind) -> "ClientSession":
    import asyncio

    loop = asyncio.get_running_loop()
    kept = _sessions.get((loop, kind))
    if kept is None or kept.session.closed:
        _forget_closed_loops()
        kept = await _open(loop, kind)
    return kept.session


async def _open(loop: "AbstractEventLoop", kind: Kind) -> _Kept:
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0 if kind == HELD else ASYNC_CONNECTIONS, keepalive_timeout=IDLE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    kept = _Kept(session, _keep((loop, kind), session))
    _sessions[loop, kind] = kept
    # The loop's own shutdown, as in asyncio.run, closes an async generator that has begun; and with it the session.
    await anext(kept.keeper)
    return kept


async def _keep(key: "tuple[AbstractEventLoop, Kind]", session: "ClientSession") -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _sessions.pop(key, None)
        await session.close()


def _forget_closed_loops() -> None:
    """Let go of sessions whose loop was closed without its shutdown; their sockets go with them."""
    for key in [key for key in list(_sessions) if key[0].is_closed()]:
        kept = _sessions.pop(key)
        connector: Any = kept.session.connector
        kept.session.detach()
        # Driven by hand, since there is no loop to await it on; its transports cannot tell the closed one.
        with suppress(RuntimeError):
            next(connector.close().__await__(), None)


def _thread_pool() -> "PoolManager":
    global _pool  # noqa: PLW0603 - one pool for each process
    import urllib3

    # After a fork the parent's sockets must not be shared: two processes would read each other's answers.
    if _pool is None or _pool[0] != os.getpid():
        _pool = (os.getpid(), urllib3.PoolManager(num_pools=4, maxsize=THREAD_CONNECTIONS, block=False))
    return _pool[1]


def _named(error: Exception, url: str) -> Exception:
    """Return the error with a text, which some of the libraries' have not, and without what signs an address."""
    text = str(error) or type(error).__name__
    query = url.partition("?")[2]
    if text == str(error) and not (query and query in text):
        return error
    # Not as a cause: a traceback would show the other text all the same.
    safe = text.replace(query, "...") if query else text
    return type(error)(safe) if isinstance(error, TimeoutError) else OSError(safe)
