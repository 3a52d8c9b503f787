"""Changes of which no word came: they are looked for, and cost next to nothing where nothing changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oncue.api import feeds, rooms
from oncue.api.rooms import Room
from oncue.protocol import ids, limits
from tests.api.client import NDJSON, Client, Running, until_held
from tests.api.electric import Subscriber


@pytest.fixture
def checking(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for lost changes all the time."""
    monkeypatch.setattr(feeds, "_CHECK_SECONDS", 0.0)
    monkeypatch.setattr(feeds, "_SWEEP_SECONDS", 0.02)


@pytest.fixture
def mute(running: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it, and nobody is told of changes any more."""
    return lambda: monkeypatch.setattr(running[0].relay, "apply", lambda *_: None)


@pytest.fixture
async def held(client: Client, running: Running) -> AsyncIterator[Any]:
    """Call it with subscribers to have them wait, once nobody looks any more for what was before them."""
    waiting: list[asyncio.Task[Any]] = []

    async def hold(*subscribers: Subscriber) -> list[asyncio.Task[Any]]:
        for subscriber in subscribers:
            await subscriber.begin()
        async with asyncio.timeout(10):
            while running[0].relay._looks:
                await asyncio.sleep(0.01)
        waiting.extend(asyncio.create_task(subscriber.live()) for subscriber in subscribers)
        await until_held(len(subscribers), running[0].feeds)
        return waiting

    yield hold
    for each in waiting:
        each.cancel()


def tagged(client: Client, tags: str = "a") -> Subscriber:
    return Subscriber(client, "/realtime/v1/runs", tags=tags)


def the_room(running: Running) -> Room:
    (room,) = running[0].feeds._rooms.values()
    return room


async def until_checked(room: Room, times: int) -> None:
    """Wait until it was looked so many times more."""
    enough = room._checks + times
    async with asyncio.timeout(20):
        while room._checks < enough:
            await asyncio.sleep(0.01)


async def told(held: list[asyncio.Task[Any]]) -> list[list[dict[str, Any]]]:
    async with asyncio.timeout(10):
        return list(await asyncio.gather(*held))


async def test_new_run_of_which_no_word_came_is_seen(
    client: Client, running: Running, checking: None, mute: Any, held: Any
) -> None:
    waiting = await held(tagged(client), Subscriber(client, "/realtime/v1/runs"))
    await until_checked(the_room(running), 1)
    mute()

    run = await client.trigger("add", tags=["a"])

    assert [[row["friendlyId"] for row in rows] for rows in await told(waiting)] == [[run], [run]]


async def test_tag_of_an_old_run_of_which_no_word_came_is_seen(
    client: Client, checking: None, mute: Any, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_RECENT", -rooms._RECENT)
    run = await client.trigger("add")
    waiting = await held(tagged(client))
    mute()

    await client.post(f"/api/v1/runs/{run}/tags", {"tags": "a"})

    assert [[row["friendlyId"] for row in rows] for rows in await told(waiting)] == [[run]]


async def test_metadata_after_the_end_is_seen_without_word(
    client: Client, running: Running, checking: None, mute: Any, held: Any
) -> None:
    run = await client.trigger("add", tags=["a"])
    await client.post(f"/api/v2/runs/{run}/cancel")
    waiting = await held(tagged(client), Subscriber(client, f"/realtime/v1/runs/{run}"))
    await until_checked(the_room(running), 1)
    mute()

    await client.send("PUT", f"/api/v1/runs/{run}/metadata", {"metadata": {"a": 1}})

    assert [[row["metadata"] for row in rows] for rows in await told(waiting)] == [['{"a":1}']] * 2


async def test_stream_of_which_no_word_came_is_seen(
    client: Client, running: Running, checking: None, mute: Any, held: Any
) -> None:
    run = await client.trigger("add", tags=["a"])
    waiting = await held(tagged(client))
    await until_checked(the_room(running), 1)
    mute()

    reply = await client.post(f"/realtime/v1/streams/{run}/self/words/append", "hello")
    assert reply.status == 200, reply

    assert [[row["realtimeStreams"] for row in rows] for rows in await told(waiting)] == [['{"words"}']]


async def test_item_of_a_batch_of_which_no_word_came_is_seen(
    client: Client, running: Running, checking: None, mute: Any, held: Any
) -> None:
    original = await client.trigger("add", idempotencyKey="k")
    batch = (await client.post("/api/v3/batches", {"runCount": 2})).body["id"]
    # The run that an item stands for is known already, to somebody else.
    one = Subscriber(client, f"/realtime/v1/runs/{original}")
    waiting = await held(one, Subscriber(client, f"/realtime/v1/batches/{batch}"))
    await until_checked(the_room(running), 2)
    the_room(running)._checks = 1
    mute()

    lines = b'{"index":0,"task":"add","options":{"idempotencyKey":"k"}}\n{"index":1,"task":"add"}'
    await client.post(f"/api/v3/batches/{batch}/items", lines, headers=NDJSON)

    (rows,) = await told(waiting[1:])
    own = ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), 1))
    assert {row["friendlyId"] for row in rows} == {original, own}


async def test_runs_that_did_not_fit_are_not_told_later(
    client: Client, running: Running, checking: None, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_REALTIME_ROWS", 2)
    runs = [await client.trigger("add", tags=["a"]) for _ in range(4)]
    (waiting,) = await held(tagged(client))
    await until_checked(the_room(running), rooms._DEEP + 1)

    for run in (runs[0], runs[3]):
        await client.post(f"/api/v2/runs/{run}/cancel")

    assert [[row["friendlyId"] for row in rows] for rows in await told([waiting])] == [[runs[3]]]


async def test_looking_for_lost_changes_reads_no_row_that_is_known(
    client: Client, running: Running, checking: None, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [await client.trigger("add", tags=["a"]) for _ in range(3)]
    await client.post(f"/api/v2/runs/{runs[0]}/cancel")
    await held(tagged(client), Subscriber(client, f"/realtime/v1/runs/{runs[1]}"))
    await until_checked(the_room(running), 2)
    read: list[object] = []
    source = running[0].feeds._source

    async def counted(*asked: object, **_: object) -> list[Any]:
        read.append(asked)
        return []

    monkeypatch.setattr(source, "runs", counted)
    monkeypatch.setattr(source, "shape", counted)
    await until_checked(the_room(running), 2 * rooms._DEEP)

    assert read == []
