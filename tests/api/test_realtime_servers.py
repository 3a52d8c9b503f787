"""Subscriptions where there are several servers, where connections break, and where there are very many."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from oncue.api.routes import realtime
from oncue.api.services import Services
from oncue.store.pool import Connection, Pool, connect
from tests.api.client import DEV_KEY, Client, Running, served, until_held
from tests.api.electric import Subscriber

SUBSCRIBERS = 1_000


def of(client: Client, run: str) -> Subscriber:
    return Subscriber(client, f"/realtime/v1/runs/{run}")


async def until_looked_after(server: Services) -> None:
    """Wait until the first look for what others may have changed is over."""
    async with asyncio.timeout(20):
        while server.relay._looks:
            await asyncio.sleep(0.05)


@pytest.fixture
async def elsewhere(client: Client, database_url: str) -> AsyncIterator[Client]:
    """A client of a second server on the same database."""
    async with served(database_url) as url, Client(url) as other:
        yield other


async def test_change_on_one_server_reaches_a_subscriber_of_another(
    client: Client, elsewhere: Client, running: Running
) -> None:
    run = await client.trigger("add")
    subscriber = await of(elsewhere, run).begin()
    held = asyncio.create_task(subscriber.live())
    await until_held(1, running[1].feeds)

    await client.post(f"/api/v2/runs/{run}/cancel")

    async with asyncio.timeout(5):
        assert [row["status"] for row in await held] == ["CANCELED"]


async def test_subscriber_goes_on_with_another_server(
    client: Client, elsewhere: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "_HOLD_SECONDS", 0.05)
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()

    unchanged = await subscriber.live(client=elsewhere)
    await client.post(f"/api/v1/runs/{run}/tags", {"tags": "a"})
    async with asyncio.timeout(5):
        while not (changed := await subscriber.live(client=elsewhere)):
            pass
    back = await subscriber.live()

    assert unchanged == []
    assert [row["runTags"] for row in changed] == ['{"a"}']
    assert back == []


@contextlib.asynccontextmanager
async def deaf(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Servers whose listening connections are cut, and are made anew only at the end of the block."""
    may_hear = asyncio.Event()

    async def later(url: str) -> Connection:
        await may_hear.wait()
        return await connect(url)

    monkeypatch.setattr("oncue.store.listen.connect", later)
    admin = await connect(database_url)
    listening = "from pg_stat_activity where datname = current_database() and query like 'LISTEN%'"
    assert await admin.fetchval(f"select count(pg_terminate_backend(pid)) {listening}")
    async with asyncio.timeout(10):
        while await admin.fetchval(f"select count(*) {listening}"):
            await asyncio.sleep(0.01)
    await admin.close()
    yield
    may_hear.set()


async def test_what_changed_while_a_server_was_deaf_is_seen(
    client: Client, elsewhere: Client, running: Running, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await client.trigger("add", tags=["a"])
    subscribers = [of(elsewhere, run), Subscriber(elsewhere, "/realtime/v1/runs", tags="a")]
    held = [asyncio.create_task((await subscriber.begin()).live()) for subscriber in subscribers]
    await until_held(2, running[1].feeds)
    await until_looked_after(running[1])

    async with deaf(database_url, monkeypatch):
        await client.post(f"/api/v2/runs/{run}/cancel")
        await running[0].relay.close()
        assert not any(each.done() for each in held)

    async with asyncio.timeout(10):
        told = await asyncio.gather(*held)
    assert [[row["status"] for row in rows] for rows in told] == [["CANCELED"], ["CANCELED"]]


class CountingPool:
    """Lends connections, and counts how often."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.lent = pool, 0

    def acquire(self) -> Any:
        self.lent += 1
        return self.pool.acquire()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)


@contextlib.asynccontextmanager
async def crowd(client: Client, runs: list[str]) -> AsyncIterator[list[Subscriber]]:
    """Many subscribers, each of whom has taken its snapshot."""
    crowded = Client(client.url, DEV_KEY)
    await crowded._session.close()
    headers = {"Authorization": f"Bearer {DEV_KEY}"}
    crowded._session = aiohttp.ClientSession(client.url, headers=headers, connector=aiohttp.TCPConnector(limit=0))
    async with crowded:
        yield await asyncio.gather(*(of(crowded, runs[number % len(runs)]).begin() for number in range(SUBSCRIBERS)))


async def test_thousand_idle_subscribers_cost_no_queries(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [await client.trigger("add") for _ in range(50)]
    async with crowd(client, runs) as subscribers:
        await until_looked_after(running[0])
        # They come back again and again: what costs nothing while it is held must cost nothing in between.
        monkeypatch.setattr(realtime, "_HOLD_SECONDS", 0.1)
        traffic, control = CountingPool(running[0].traffic), CountingPool(running[0].control)
        monkeypatch.setattr(running[0], "traffic", traffic)
        monkeypatch.setattr(running[0], "control", control)
        monkeypatch.setattr("oncue.api.auth._KNOWN_SECONDS", 60.0)
        running[0].keys.forget()
        await client.get("/api/v1/runs")
        asked = (traffic.lent, control.lent)

        for _ in range(3):
            answers = await asyncio.gather(*(subscriber.live() for subscriber in subscribers))
            assert answers == [[]] * SUBSCRIBERS

        assert (traffic.lent, control.lent) == asked


async def test_one_change_reaches_all_subscribers_with_one_statement(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await client.trigger("add")
    reads: list[int] = []
    async with crowd(client, [run]) as subscribers:
        await until_looked_after(running[0])
        source = running[0].feeds._source
        real = source.runs

        async def counted(environment: int, wanted: Any, *, documents: bool) -> Any:
            reads.append(len(wanted))
            return await real(environment, wanted, documents=documents)

        monkeypatch.setattr(source, "runs", counted)
        held = [asyncio.create_task(subscriber.live()) for subscriber in subscribers]
        await until_held(SUBSCRIBERS, running[0].feeds)

        await client.post(f"/api/v1/runs/{run}/tags", {"tags": "a"})

        async with asyncio.timeout(30):
            answers = await asyncio.gather(*held)
    assert [[row["runTags"] for row in rows] for rows in answers] == [['{"a"}']] * SUBSCRIBERS
    assert reads == [1]
