"""Claims that are held: who is woken, when, and on which server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oncue.engine import environments
from oncue.engine.events import Effects
from tests.api.client import Client, Running, served, until_held


@pytest.fixture
async def held_client(database_url: str, running: Running) -> AsyncIterator[Client]:
    async with served(database_url) as url, Client(url) as client:
        yield client


async def test_held_claim_is_answered_as_soon_as_a_run_is_triggered(held_client: Client, running: Running) -> None:
    worker = await held_client.announce("add")
    held = asyncio.create_task(held_client.claim_runs(worker, wait_ms=20_000))
    await until_held(1, running[0].polls)

    run = await held_client.trigger("add")

    # Well before the first look that nobody asked for.
    async with asyncio.timeout(2):
        assert await held == [run]


async def test_trigger_on_one_server_wakes_a_claim_on_another(
    held_client: Client, running: Running, database_url: str
) -> None:
    async with served(database_url) as url, Client(url) as elsewhere:
        worker = await elsewhere.announce("add")
        held = asyncio.create_task(elsewhere.claim_runs(worker, wait_ms=20_000))
        await until_held(1, running[1].polls)

        run = await held_client.trigger("add")

        async with asyncio.timeout(2):
            assert await held == [run]


async def test_notice_wakes_the_claim_of_its_worker_on_another_server(
    held_client: Client, running: Running, database_url: str
) -> None:
    async with served(database_url) as url, Client(url) as elsewhere:
        worker = await elsewhere.announce("add")
        bystander = await elsewhere.announce("other")
        run = await elsewhere.trigger("add")
        await elsewhere.claim(worker)
        held = asyncio.create_task(elsewhere.claim(worker, places=0, wait_ms=20_000))
        other = asyncio.create_task(elsewhere.claim(bystander, places=0, wait_ms=20_000))
        await until_held(2, running[1].polls)

        await held_client.post(f"/api/v2/runs/{run}/cancel")

        async with asyncio.timeout(2):
            assert [notice["runId"] for notice in (await held)["notices"]] == [run]
        assert not other.done()
        other.cancel()


async def test_revoked_key_stops_on_every_server_at_once(
    held_client: Client, running: Running, database_url: str
) -> None:
    async with served(database_url) as url, Client(url) as elsewhere:
        before = (await elsewhere.get("/api/v1/runs")).status

        def revoke(tx: Any, effects: Effects) -> Any:
            effects.keys_changed = True
            return environments.revoke_key(tx, 1)

        await running[0].write(revoke)
        async with asyncio.timeout(2):
            while (await elsewhere.get("/api/v1/runs")).status != 401:
                await asyncio.sleep(0.01)

    assert before == 200
    assert (await held_client.get("/api/v1/runs")).status == 401


async def test_worker_that_cannot_run_it_passes_the_wake_up_on(held_client: Client, running: Running) -> None:
    unable = await held_client.announce("other")
    able = await held_client.announce("add")
    first = asyncio.create_task(held_client.claim_runs(unable, wait_ms=20_000))
    await until_held(1, running[0].polls)
    second = asyncio.create_task(held_client.claim_runs(able, wait_ms=20_000))
    await until_held(2, running[0].polls)

    run = await held_client.trigger("add")

    async with asyncio.timeout(2):
        assert await second == [run]
    assert not first.done()
    first.cancel()


async def test_claim_returns_empty_when_its_time_is_up(held_client: Client) -> None:
    worker = await held_client.announce("add")

    async with asyncio.timeout(5):
        assert await held_client.claim(worker, wait_ms=50) == {}


async def test_worker_that_hung_up_is_given_nothing(held_client: Client, running: Running) -> None:
    gone = await held_client.announce("add")
    held = asyncio.create_task(held_client.claim_runs(gone, wait_ms=20_000))
    await until_held(1, running[0].polls)
    held.cancel()
    await until_held(0, running[0].polls)
    run = await held_client.trigger("add")

    other = await held_client.announce("add")

    assert await held_client.claim_runs(other) == [run]


async def test_claim_whose_answer_got_lost_gives_its_runs_back(held_client: Client) -> None:
    worker = await held_client.announce("add")
    kept, unheard = await held_client.trigger("add"), await held_client.trigger("add")
    assert await held_client.claim_runs(worker) == [kept, unheard]

    again = await held_client.claim(worker, holding=[kept])

    assert [(run["runId"], run["epoch"], run["attempt"]) for run in again["assignments"]] == [(unheard, 2, 1)]


async def test_asking_anew_ends_the_claim_it_gave_up_on(held_client: Client, running: Running) -> None:
    worker = await held_client.announce("add")
    old = asyncio.create_task(
        held_client.post("/api/v1/work/claim", {"workerId": worker, "places": 5, "waitMs": 20_000})
    )
    await until_held(1, running[0].polls)

    new = asyncio.create_task(held_client.claim(worker, wait_ms=20_000, holding=[]))
    async with asyncio.timeout(2):
        assert (await old).body == {}
    await until_held(1, running[0].polls)
    run = await held_client.trigger("add")

    async with asyncio.timeout(2):
        assert [found["runId"] for found in (await new)["assignments"]] == [run]


async def test_stopping_server_answers_held_claims_at_once(database_url: str, running: Running) -> None:
    async with served(database_url) as url:
        client = Client(url)
        worker = await client.announce("add")
        held = asyncio.create_task(client.claim(worker, wait_ms=20_000))
        await until_held(1, running[0].polls)

    assert await held == {}
    await client._session.close()
