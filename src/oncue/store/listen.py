"""Listen: hear PostgreSQL's notifications on a connection of its own, which is made again when it breaks.

Notifications are hints that something changed, never the change itself: those sent while the connection is down are
lost, so a listener reads anew whenever it is told that the connection is back.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import asyncpg

from oncue import telemetry
from oncue.protocol.errors import OncueError
from oncue.store.errors import DatabaseUnavailable
from oncue.store.pool import Connection, Pool, Tx, connect

Handler = Callable[[str, str], None]
"""Called with the channel and the payload, on the event loop; it must return at once."""

_LONGEST_PAUSE_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.05
_PROBE_SECONDS: Final = 15.0
"""A peer that vanished without a word is noticed by asking it now and then."""


async def notify(connection: Tx | Pool, channel: str, *payloads: str) -> None:
    """Send notifications in one statement; inside a transaction they go out with the commit.

    Args:
        connection: A transaction, or a pool to send it at once.
        channel: At most 63 bytes.
        payloads: Each less than 8,000 bytes; PostgreSQL sends equal ones once.
    """
    await connection.execute("select pg_notify($1, each) from unnest($2::text[]) as each", channel, payloads)


class Listener:
    """A connection that listens on channels for as long as it is started.

    Example::

        async with Listener(url, {"oncue_wakeups": wake}, on_reconnect=wake_all):
            ...
    """

    def __init__(
        self, url: str, handlers: Mapping[str, Handler], *, on_reconnect: Callable[[], None] = lambda: None
    ) -> None:
        """Describe what to listen to; nothing happens before ``start``.

        Args:
            url: DSN of the database; notifications do not cross databases.
            handlers: For each channel, what to call. An error in it is logged and hurts nobody else.
            on_reconnect: Called after the connection was lost and is back: notifications in between were missed.
        """
        self._url, self._handlers, self._on_reconnect = url, dict(handlers), on_reconnect
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    async def start(self) -> None:
        """Begin to listen; returns when every channel is heard.

        Raises:
            DatabaseUnavailable: The first connection could not be made. Later losses are mended without a word here.
        """
        if self._task is None:
            lost = await self._open()
            self._task = asyncio.create_task(self._keep_open(lost), name="oncue-listener")

    async def stop(self) -> None:
        """Listen no longer; harmless when not started."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._close()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _keep_open(self, lost: asyncio.Event) -> None:
        while True:
            await self._until_lost(lost)
            telemetry.event("database.lost", channels=sorted(self._handlers))
            self._close()
            lost = await self._reopen()
            telemetry.event("database.restored", channels=sorted(self._handlers))
            self._guard(self._on_reconnect)

    async def _until_lost(self, lost: asyncio.Event) -> None:
        while self._connection is not None:
            # Not asyncio.wait_for, which may take a cancellation for the end of the wait before Python 3.12.
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_SECONDS):
                    await lost.wait()
                return
            try:
                await self._connection.execute("select 1", timeout=_PROBE_SECONDS)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return

    async def _reopen(self) -> asyncio.Event:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._open()
            except OncueError:
                # At random, so that many servers do not come back in step.
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _open(self) -> asyncio.Event:
        """Connect and listen; the event that is returned is set when the connection is lost."""
        lost = asyncio.Event()
        connection = await connect(self._url)
        connection.add_termination_listener(lambda _: lost.set())
        self._connection = connection
        try:
            for channel in self._handlers:
                await connection.add_listener(channel, self._hear)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._close()
            raise DatabaseUnavailable(f"the connection to PostgreSQL broke: {error}") from error
        return lost

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def _hear(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._guard(lambda: self._handlers[channel](channel, str(payload)))

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # a fault in one handler must not deafen the others  # noqa: BLE001
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a notification handler failed", "exception": error}
            )
