"""When the server ends a stream of its own accord, or does not begin it: rights, room, readers that do not read."""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from oncue import streams
from oncue.api import answers, event_streams
from oncue.api.seats import Owner
from oncue.engine import environments
from oncue.engine.run_streams import Name
from oncue.protocol import ids, limits
from oncue.sdk import settings
from oncue.sdk.event_streams import EventStream
from oncue.store.pool import Pool
from tests.api.client import DEV_KEY, Client, Running, served
from tests.api.events import Events, reading
from tests.api.tokens import bearing, connected
from tests.fixtures.stack import eventually

LARGE = b'"' + b"x" * 400_000 + b'"\n'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers are looked at again at once."""
    monkeypatch.setattr(event_streams, "PING_SECONDS", 0.02)


async def until_broken_off(events: Events) -> None:
    """Read until the server breaks off; a clean end would tell the reader that there is no more."""
    with pytest.raises(aiohttp.ClientPayloadError):
        async with asyncio.timeout(10):
            while await events.next() is not None:
                pass
            pytest.fail("the stream came to a clean end")


async def until_readers(count: int, running: Running) -> None:
    """Wait until so many readers follow streams on the first server."""
    async with asyncio.timeout(10):
        while len(running[0].tails) != count:
            await asyncio.sleep(0.005)


async def streaming(run: str, client: Client) -> int:
    """Return with which status the server answers who wants to follow a stream."""
    async with reading(client, run, "words") as events:
        return events.response.status


@contextlib.asynccontextmanager
async def deaf(client: Client, run: str, *, method: str = "GET") -> AsyncIterator[asyncio.StreamReader]:
    """Follow a stream, and read nothing of it."""
    place = urlsplit(client.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
    head = f"{method} /realtime/v1/streams/{run}/words HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {DEV_KEY}\r\n\r\n"
    writer.write(head.encode())
    try:
        yield reader
    finally:
        writer.transport.abort()


@contextlib.contextmanager
def called(url: str) -> Iterator[None]:
    """Let the SDK of this process call a server."""
    settings.configure(api_url=url, secret_key=DEV_KEY)
    try:
        yield
    finally:
        settings.reset()


async def stalled(client: Client, run: str, running: Running) -> None:
    """Return once the server can send no more to the one reader of a stream."""
    reply = await client.post(f"/realtime/v1/streams/{run}/self/words", data=io.BytesIO(LARGE * 30))
    assert reply.status == 200
    (tail,) = next(iter(running[0].tails._tails.values())).values()
    async with asyncio.timeout(10):
        while tail.end < 30:
            await asyncio.sleep(0.005)


async def test_revoked_key_breaks_its_streams_off(
    client: Client, running: Running, database_url: str, quick: None
) -> None:
    run = await client.trigger("add")
    async with connected(database_url) as connection:
        key = await environments.create_key(connection, "dev", name="leaked")
        async with Client(client.url, key.secret) as leaked:
            async with reading(leaked, run, "words") as events, reading(client, run, "words") as kept:
                await events.next()
                await environments.revoke_key(connection, key.id)
                running[0].keys.forget()

                await until_broken_off(events)

                assert await kept.next() is not None
            assert await streaming(run, leaked) == 401


async def test_expired_token_breaks_its_stream_off(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    run = await client.trigger("add")
    async with bearing(client, f"read:runs:{run}") as browser:
        async with reading(browser, run, "words") as events:
            await events.next()
            later = time.time() + 100_000
            monkeypatch.setattr(running[0].signer, "_clock", lambda: later)

            await until_broken_off(events)

        assert await streaming(run, browser) == 401


async def test_stream_without_a_pause_is_looked_at_too(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    run = await client.trigger("add")
    async with bearing(client, f"read:runs:{run}") as browser, reading(browser, run, "words") as events:
        await events.next()
        later = time.time() + 100_000
        monkeypatch.setattr(running[0].signer, "_clock", lambda: later)
        # From now on only chunks keep the stream going.
        monkeypatch.setattr(event_streams.EventStream, "_wait_s", lambda _: 60.0)

        async def write() -> None:
            while True:
                await client.post(f"/realtime/v1/streams/{run}/self/words", b"1\n")

        writing = asyncio.create_task(write())
        await until_broken_off(events)
        writing.cancel()


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_reader_of_the_end_misses_nothing_over_a_restart(
    database_url: str, client: Client, monkeypatch: pytest.MonkeyPatch, is_blocking: bool
) -> None:
    run = await client.trigger("add")
    await client.post(f"/realtime/v1/streams/{run}/self/words", b'"before"\n')
    made: list[EventStream] = []

    def noted(*which: str, latest: bool) -> EventStream:
        made.append(EventStream(*which, latest=latest))
        return made[-1]

    async def values() -> list[Any]:
        if is_blocking:
            return await asyncio.to_thread(lambda: list(streams.sync.read(run, "words", latest=True)))
        return [value async for value in streams.read(run, "words", latest=True)]

    monkeypatch.setattr(streams, "EventStream", noted)
    async with served(database_url) as url:
        port = urlsplit(url).port
        with called(url):
            found = asyncio.create_task(values())
            await eventually(lambda: made and made[0]._last_id, "the reader knows where it began")
    await client.post(f"/realtime/v1/streams/{run}/self/words", b'"meanwhile"\n')
    await client.post(f"/api/v2/runs/{run}/cancel")

    async with served(database_url, port=port), asyncio.timeout(20):
        assert await found == ["meanwhile"]


async def test_environment_leaves_room_for_others(
    client: Client, prod_client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_STREAM_READERS", 3)
    run, other = await client.trigger("add"), await prod_client.trigger("add")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            events = await stack.enter_async_context(reading(client, run, "words"))
            assert events.response.status == 200

        refused = await client.get(f"/realtime/v1/streams/{run}/words")
        assert (refused.status, refused.body["code"]) == (429, "rate_limited")
        assert refused.body["error"] == "2 streams of this environment are followed here; try again later"
        assert await streaming(other, prod_client) == 200

    await until_readers(0, running)
    assert await streaming(run, client) == 200
    assert await streaming(other, prod_client) == 200


async def test_token_that_got_about_leaves_room_for_others(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_TOKEN_SUBSCRIPTIONS", 3)
    run = await client.trigger("add")
    async with contextlib.AsyncExitStack() as stack, bearing(client, f"read:runs:{run}") as browser:
        for number in range(3):
            await stack.enter_async_context(reading(browser, run, f"key-{number}"))

        refused = await browser.get(f"/realtime/v1/streams/{run}/key-3")
        assert (refused.status, refused.body["code"]) == (429, "rate_limited")
        assert refused.body["error"] == "3 streams are followed here with this token; try again later"
        assert await streaming(run, client) == 200
        async with bearing(client, f"read:runs:{run}", "read:tags:other") as another:
            assert await streaming(run, another) == 200

    await until_readers(0, running)
    assert running[0].tails._owned == {}


async def test_reader_ends_whose_run_is_kept_no_longer(client: Client, running: Running, db: Pool) -> None:
    run = await client.trigger("add")
    lines = b"".join(b"%d\n" % number for number in range(1_500))
    async with reading(client, run, "words") as events:
        await until_readers(1, running)
        await client.post(f"/realtime/v1/streams/{run}/self/words", lines)
        async with asyncio.timeout(20):
            await events.take(1_500)
        # Behind what is kept in memory.
        behind = await running[0].tails.join(Owner(1), ids.parse(ids.RUN, run), Name("words"), first=0)
        for table in ("stream_chunks", "run_streams", "live", "runs"):
            await db.execute(f"delete from oncue.{table}")
        running[0].tails.refresh(None)

        async with asyncio.timeout(20):
            assert await behind.next(0) is None
            assert await events.rest() == []
        behind.leave()


async def test_refused_readers_leave_no_place_taken(client: Client, running: Running) -> None:
    missing = "run_" + "0" * 26

    assert (await client.get(f"/realtime/v1/streams/{missing}/words")).status == 404

    assert len(running[0].tails) == 0
    assert running[0].tails._tails == {}


async def test_client_that_wants_the_head_takes_no_place(client: Client, running: Running) -> None:
    run = await client.trigger("add")

    async with deaf(client, run, method="HEAD") as reader, asyncio.timeout(10):
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")

        # Its connection is there for the next request.
        await until_readers(0, running)


async def test_reader_that_does_not_read_loses_its_place(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_SEND_SECONDS", 0.2)
    run = await client.trigger("add")
    async with deaf(client, run):
        await until_readers(1, running)
        await stalled(client, run, running)

        await until_readers(0, running)


async def test_reader_that_does_not_read_holds_up_no_stop(database_url: str, running: Running) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with served(database_url) as url:
            client = await stack.enter_async_context(Client(url))
            run = await client.trigger("add")
            await stack.enter_async_context(deaf(client, run))
            await until_readers(1, running)
            await stalled(client, run, running)
            stopping = time.monotonic()

        # Of 9 seconds that a stop may take.
        assert time.monotonic() - stopping < 4


async def test_fault_of_reading_is_logged_without_its_message(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = await client.trigger("add")
    async with reading(client, run, "words") as events:
        (tail,) = next(iter(running[0].tails._tails.values())).values()
        real = tail._read_tail

        async def broken(*_: Any) -> Any:
            monkeypatch.setattr(tail, "_read_tail", real)
            raise ValueError("Key (data)=(secret) already exists")

        monkeypatch.setattr(tail, "_read_tail", broken)
        await client.post(f"/realtime/v1/streams/{run}/self/words", b"1\n")
        async with asyncio.timeout(10):
            assert await events.take(1) == [1]

    (record,) = [each for each in caplog.records if getattr(each, "event", "") == "realtime.failed"]
    assert "secret" not in record.getMessage()
    assert record.fields["error"] == "ValueError"  # type: ignore[attr-defined]
    assert "test_stream_ends.py" in record.fields["trace"]  # type: ignore[attr-defined]


async def test_upload_ends_with_the_server_and_keeps_what_it_brought(database_url: str, db: Pool) -> None:
    forever = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield b"1\n"
        await forever.wait()

    async def stored() -> bool:
        return bool(await db.fetchval("select count(*) from oncue.stream_chunks") == 1)

    async with served(database_url) as url:
        client = Client(url)
        run = await client.trigger("add")
        path = f"/realtime/v1/streams/{run}/self/words"
        sending = asyncio.create_task(client._session.post(path, data=lines()))
        await eventually(stored, "the chunk is stored")

    async with await sending as response:
        assert response.status == 503
        assert "about to stop; send what is left to another" in await response.text()
    assert await stored()
    await client._session.close()
