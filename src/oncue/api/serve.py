"""Serve: the application on a port, by uvicorn, until it is cancelled.

The port is taken before anything else is opened, so that "in use" is said at once and in words. On the way out held
claims are answered first, then requests in progress finish, then connections close.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from oncue import telemetry
from oncue.api import answers, moments
from oncue.api.app import create_app
from oncue.api.settings import ServerSettings
from oncue.protocol.errors import SettingsError

_BACKLOG: Final = 2_048
_TICKS_A_SECOND: Final = 10
"""That uvicorn counts."""
_LOOK_SECONDS: Final = 0.005
_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients keep idle connections, so that it is they who close and no request meets a closing one."""


async def serve(
    settings: ServerSettings,
    *,
    started: Callable[[str], None] = lambda _: None,
    mounts: Sequence[BaseRoute] = (),
    listening: socket.socket | None = None,
) -> None:
    """Serve until cancelled, then stop cleanly.

    Args:
        settings: Where and how.
        started: Called with the server's URL once it accepts requests.
        mounts: Other routes to serve.
        listening: A bound socket to serve on instead of the settings' host and port.

    Raises:
        SettingsError: The port cannot be taken.
        DatabaseUnavailable: PostgreSQL does not answer.
        MigrationError: The schema could not be brought up to date.
    """
    own = listening or bind(settings.host, settings.port)
    try:
        url = address(own)
        app = create_app(settings, mounts=mounts)
        async with app.router.lifespan_context(app):
            server = _Server(app, settings, lambda: started(url))
            telemetry.event("server.started", url=url)
            await _until_cancelled(server, own)
    finally:
        own.close()
        telemetry.event("server.stopped")


def bind(host: str, port: int) -> socket.socket:
    """Take a port.

    Raises:
        SettingsError: It is in use, or not ours to take.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"cannot listen on host {host!r}: {error.strerror}; choose another with --host") from error
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)
        taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        message = f"cannot listen on {host}:{port}: {error.strerror}; choose another port with --port"
        raise SettingsError(message) from error
    taken.setblocking(False)
    return taken


def address(listening: socket.socket) -> str:
    """Return the URL under which a socket is reached from this machine."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _until_cancelled(server: "_Server", listening: socket.socket) -> None:
    serving = asyncio.create_task(server.serve([listening]), name="oncue-uvicorn")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.stop()
        await serving
        raise


def _is_news(record: logging.LogRecord) -> bool:
    """Whether uvicorn complains of anything but an answer that was broken off, as streams are when the server stops."""
    return not record.getMessage().startswith("ASGI callable returned without completing response")


class _Protocol(HttpToolsProtocol):
    """uvicorn's, which lets a request's answer be dropped in the middle."""

    def on_message_begin(self) -> None:
        """Give the request the means, in its scope."""
        super().on_message_begin()
        scope: dict[str, object] = cast("dict[str, object]", self.scope)
        scope[answers.ABORT] = self.transport.abort


class _Server(uvicorn.Server):
    """uvicorn, with its application's lifespan and its signals in our hands."""

    def __init__(self, app: Starlette, settings: ServerSettings, started: Callable[[], None]) -> None:
        self._app, self._tell_started = app, started
        self._stopping = asyncio.Event()
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                loop="none",
                http=_Protocol,
                ws="none",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                # Nothing here asks who the client is.
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=round(settings.drain.total_seconds()),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._tell_started()

    def stop(self) -> None:
        """Begin to stop."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Do what is done once a second, until it is to stop: then at once, where uvicorn looks ten times a second."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += _TICKS_A_SECOND
            await moments.passed(self._stopping, 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is held, let requests in progress end, and break off those that have not in time.

        As uvicorn does it, but without its pauses of a tenth of a second: whoever replaces a server waits for it.
        """
        self._app.state.services.drain()
        for each in (*self.servers, *(sockets or ())):
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                # uvicorn tells nobody when the last of them has ended.
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs us."""
        yield
