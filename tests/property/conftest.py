"""A database that lasts for all examples of a test; each example has an environment of its own in it."""

import asyncio
import contextlib
import datetime
import uuid
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import TypeVar

import pytest

from oncue.engine import partitions
from oncue.engine.rows import Environment
from oncue.store.pool import Pool, in_transaction, open_pool
from tests.engine.conftest import Engine
from tests.fixtures.database import cloned

T = TypeVar("T")

START = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


class World:
    """An event loop and a database, for code that is not asynchronous itself; and what has been seen in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        self._loop = loop
        self._pool = pool
        self.seen: Counter[str] = Counter()

    def do(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    def engine(self) -> Engine:
        """Return an engine in a new environment."""
        made = Engine(self._pool, self.do(self._environment()))
        made.moment = START
        return made

    async def _environment(self) -> Environment:
        slug = uuid.uuid4().hex
        number = await self._pool.fetchval(
            """insert into oncue.environments (project_id, slug, kind)
            select id, $1, 'PRODUCTION' from oncue.projects returning id""",
            slug,
        )
        return Environment(number, slug, "PRODUCTION")


@pytest.fixture
def world(server_url: str) -> Iterator[World]:
    async def prepare(url: str) -> Pool:
        pool = await open_pool(url)
        await pool.execute("insert into oncue.projects (ref, name) values ('examples', 'examples')")
        await in_transaction(pool, partitions.make_ahead)
        return pool

    with asyncio.Runner() as runner:
        databases = cloned(server_url)
        pool = runner.run(prepare(runner.run(anext(databases))))
        yield World(runner.get_loop(), pool)
        runner.run(pool.close())
        with contextlib.suppress(StopAsyncIteration):
            runner.run(anext(databases))
