"""Stack: PostgreSQL, a server and workers, as real processes and as durable as in production.

One PostgreSQL for the whole of a benchmark; each measurement gets a database, a server and workers of its own, so that
none inherits the other's dead rows. All of it is gone afterwards, after Ctrl-C too: PostgreSQL, server and workers end
with this process even where it is killed.
"""

import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg

import oncue
from bench import patience, stamps
from oncue.cli.children import Child
from oncue.cli.stack import Place, Served, served
from oncue.store.embedded import EmbeddedPostgres

_TASKS: Final = Path(__file__).with_name("tasks.py")
_ROOT: Final = _TASKS.parent.parent
_QUIET: Final = "error"


class Postgres(NamedTuple):
    """A durable PostgreSQL server in a temporary folder."""

    url: str
    folder: Path
    pid: int


class Stack:
    """A database with a server, and workers if asked for."""

    def __init__(self, postgres: Postgres, database: str, server: Served, admin: asyncpg.Connection) -> None:
        self.postgres = postgres
        self.url = database
        self.server = server
        self.admin = admin
        self.stamps = postgres.folder / f"stamps-{secrets.token_hex(4)}"

    @asynccontextmanager
    async def worker(self, *arguments: str) -> AsyncIterator[Child]:
        """Run one worker process for as long as the block runs; it is announced when the block begins."""
        before = await self._workers()

        async def is_announced() -> bool:
            return await self._workers() > before

        child = await Child.start(
            "worker", str(_TASKS), "--grace", "1s", *arguments,
            environment={
                "TRIGGER_API_URL": self.server.url,
                "TRIGGER_SECRET_KEY": self.server.key,
                "ONCUE_LOG": _QUIET,
                "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
                stamps.FILE: str(self.stamps),
            },
        )  # fmt: skip
        try:
            await patience.until(is_announced, within_s=30)
            yield child
        finally:
            await child.stop()

    async def until_idle(self, *, within_s: float = 300, left: int = 0) -> float:
        """Wait until at most so many runs have not ended; return the moment, by ``time.perf_counter``.

        Raises:
            TimeoutError: It took too long.
        """
        # Counts no further than it must: a long line is not walked through at each look.
        count = f"select count(*) from (select from oncue.live limit {left + 1}) as few"

        async def is_idle() -> bool:
            return int(await self.admin.fetchval(count)) <= left

        await patience.until(is_idle, within_s=within_s)
        return time.perf_counter()

    async def drained(self, task: str) -> float:
        """Return at which rate the runs of a task went, in runs a second, from the first start to the last end.

        Raises:
            RuntimeError: One of them did not succeed.
        """
        row = await self.admin.fetchrow(
            """
            select
                count(*) filter (where status = 'COMPLETED_SUCCESSFULLY') as succeeded,
                count(*) filter (where status > 'COMPLETED_SUCCESSFULLY') as failed,
                extract(epoch from max(finished_at) - min(started_at))::float8 as seconds
            from oncue.runs
            where task = $1
            """,
            task,
        )
        assert row is not None
        if row["failed"] or not row["succeeded"]:
            raise RuntimeError(f"of the runs of {task!r} {row['succeeded']} succeeded and {row['failed']} did not")
        return float(row["succeeded"] / row["seconds"])

    async def know_tasks(self) -> None:
        """Let the server know the tasks, as after a first deploy, and leave no worker."""
        async with self.worker():
            pass

    async def _workers(self) -> int:
        return int(await self.admin.fetchval("select count(*) from oncue.workers"))


@asynccontextmanager
async def postgres_running() -> AsyncIterator[Postgres]:
    """Run a durable PostgreSQL in a temporary folder for as long as the block runs.

    Raises:
        RuntimeError: It is not durable, so its figures would mean nothing.
    """
    with tempfile.TemporaryDirectory(prefix="oncue-bench-") as name:
        folder = Path(name)
        async with EmbeddedPostgres(folder / "postgres") as embedded:
            connection = await asyncpg.connect(embedded.url)
            try:
                for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                    if await connection.fetchval("select current_setting($1)", setting) != "on":
                        raise RuntimeError(f"{setting} is off; benchmarks are taken on a durable PostgreSQL only")
            finally:
                await connection.close()
            yield Postgres(embedded.url, folder, _postmaster(folder))


@asynccontextmanager
async def database(postgres: Postgres, name: str) -> AsyncIterator[str]:
    """Lend the DSN of a fresh database, which is dropped afterwards."""
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f'create database "{name}"')
        try:
            yield urlunsplit(urlsplit(postgres.url)._replace(path=f"/{name}"))
        finally:
            await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()


@asynccontextmanager
async def opened(postgres: Postgres, name: str) -> AsyncIterator[Stack]:
    """Run a server on a fresh database; this process's SDK calls it, and its tasks are known there."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database(postgres, f"{name}_{secrets.token_hex(4)}"))
        place = Place(postgres.folder, "127.0.0.1", 0, f"tr_dev_sk_{secrets.token_hex(12)}")
        server = await stack.enter_async_context(served(place, {"DATABASE_URL": url, "ONCUE_LOG": _QUIET}))
        admin = await asyncpg.connect(url)
        stack.push_async_callback(admin.close)
        oncue.configure(api_url=server.url, secret_key=server.key)
        made = Stack(postgres, url, server, admin)
        await made.know_tasks()
        yield made


def _postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "data" / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
