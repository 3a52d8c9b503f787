"""Streams of runs over raw HTTP: written by one, followed by others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from oncue.api import event_streams
from oncue.engine.run_streams import Name
from oncue.protocol import ids
from tests.api.client import NDJSON, Client, Running, served
from tests.api.electric import Subscriber
from tests.api.events import reading

MISSING = "run_" + "0" * 26


def written(run: str, key: str = "words", whose: str = "self") -> str:
    return f"/realtime/v1/streams/{run}/{whose}/{key}"


async def send(client: Client, run: str, *lines: str, key: str = "words", **headers: str) -> None:
    body = "".join(line + "\n" for line in lines).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await client.post(written(run, key), body, headers=sent)
    assert reply.status == 200, reply


async def finished(client: Client, run: str) -> None:
    await client.post(f"/api/v2/runs/{run}/cancel")


async def test_chunks_are_read_in_the_order_of_writing(client: Client) -> None:
    run = await client.trigger("add")
    await send(client, run, '{"a": 1}', '"two"', "3")
    await finished(client, run)

    async with reading(client, run, "words") as events:
        found = await events.rest()

    assert [event.data for event in found] == [{"a": 1}, "two", 3]
    assert [event.number for event in found] == [0, 1, 2]
    assert events.response.headers["content-type"] == "text/event-stream"
    assert events.response.headers["access-control-allow-origin"] == "*"
    assert "x-stream-version" in events.response.headers["access-control-expose-headers"]


async def test_reader_gets_each_chunk_as_it_comes(client: Client) -> None:
    run = await client.trigger("add")
    async with reading(client, run, "words") as events:
        for number in range(3):
            await send(client, run, str(number), x_client_id=str(number))

            async with asyncio.timeout(5):
                assert await events.take(1) == [number]


async def test_chunks_of_a_long_request_arrive_before_it_ends(client: Client) -> None:
    run = await client.trigger("add")
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'"first"\n"sec'
        await go_on.wait()
        yield b'ond"\n'

    writing = asyncio.create_task(client.post(written(run), None, data=body()))
    async with reading(client, run, "words") as events, asyncio.timeout(5):
        first = await events.take(1)
        go_on.set()
        second = await events.take(1)

    assert (first, second) == (["first"], ["second"])
    assert (await writing).status == 200


async def test_stream_ends_when_its_run_has_ended(client: Client) -> None:
    run = await client.trigger("add")
    async with reading(client, run, "words") as events:
        await send(client, run, "1")
        async with asyncio.timeout(5):
            assert await events.take(1) == [1]

        await finished(client, run)

        async with asyncio.timeout(5):
            assert await events.rest() == []


async def test_reader_goes_on_after_the_event_it_had_last(client: Client) -> None:
    run = await client.trigger("add")
    await send(client, run, "0", "1", "2")
    async with reading(client, run, "words") as events:
        await events.next()
        last = await events.next()
    assert last is not None
    await finished(client, run)

    async with reading(client, run, "words", Last_Event_ID=last.id) as events:
        assert [event.data for event in await events.rest()] == [2]


async def test_reader_may_begin_with_what_is_yet_to_come(client: Client) -> None:
    run = await client.trigger("add")
    await send(client, run, "0", "1")
    async with reading(client, run, "words", X_Trigger_Stream_Start="latest") as events:
        begin = await events.next()
        await send(client, run, "2", x_client_id="other")

        async with asyncio.timeout(5):
            assert await events.take(1) == [2]
    assert begin is not None
    assert begin.number == 1


@pytest.mark.parametrize("before", [(), ("0", "1")])
async def test_reader_of_the_end_goes_on_where_it_began(client: Client, before: tuple[str, ...]) -> None:
    run = await client.trigger("add")
    await send(client, run, *before)
    async with reading(client, run, "words", X_Trigger_Stream_Start="latest") as events, asyncio.timeout(5):
        begin = await events.next()
    assert begin is not None

    await send(client, run, '"meanwhile"', x_client_id="other")
    await finished(client, run)

    async with reading(client, run, "words", X_Trigger_Stream_Start="latest", Last_Event_ID=begin.id) as events:
        assert [event.data for event in await events.rest()] == ["meanwhile"]


async def test_idle_stream_is_kept_open_by_comments(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "PING_SECONDS", 0.02)
    run = await client.trigger("add")

    async with reading(client, run, "words") as events, asyncio.timeout(5):
        comments = [await events.next() for _ in range(3)]

    assert [comment.comment for comment in comments if comment] == ["ping"] * 3


async def test_stream_ends_after_the_time_that_was_asked_for(client: Client) -> None:
    run = await client.trigger("add")

    async with reading(client, run, "words", Timeout_Seconds="1") as events, asyncio.timeout(10):
        assert await events.rest() == []


@pytest.mark.parametrize("header", [("Timeout-Seconds", "0"), ("Timeout-Seconds", "601"), ("Last-Event-ID", "x")])
async def test_header_that_makes_no_sense_is_refused(client: Client, header: tuple[str, str]) -> None:
    run = await client.trigger("add")

    assert (await client.get(f"/realtime/v1/streams/{run}/words", headers=dict([header]))).status == 400


async def test_stream_of_another_environment_is_not_found(client: Client, prod_client: Client) -> None:
    run = await client.trigger("add")
    await send(client, run, "1")

    assert (await prod_client.get(f"/realtime/v1/streams/{run}/words")).status == 404
    assert (await prod_client.post(written(run), b"2\n")).status == 404
    assert (await prod_client.send("PUT", written(run))).status == 404
    assert (await prod_client.send("HEAD", written(run))).status == 404
    assert (await prod_client.post(f"{written(run)}/append", b"2")).status == 404


async def test_registered_stream_shows_on_its_run(client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await Subscriber(client, f"/realtime/v1/runs/{run}").begin()
    assert subscriber.row["realtimeStreams"] == "{}"

    reply = await client.send("PUT", written(run, "words"))

    assert (reply.status, reply.body) == (202, {"version": "v1"})
    async with asyncio.timeout(5):
        await subscriber.until("realtimeStreams", '{"words"}')


async def test_run_that_has_ended_gets_no_new_stream(client: Client) -> None:
    run = await client.trigger("add")
    await finished(client, run)

    assert (await client.send("PUT", written(run))).status == 400


async def test_run_that_has_ended_takes_no_more_chunks(client: Client) -> None:
    run = await client.trigger("add")
    child = await client.trigger("add", parentRunId=run)
    await send(client, run, "0", "1", x_client_id="w")
    await client.post(f"{written(run)}/append", b"2", headers={"X-Part-Id": "p"})
    await finished(client, run)

    refused = [
        await client.post(written(run), b"3\n"),
        await client.post(written(run), b"1\n3\n", headers={"X-Client-Id": "w", "X-Resume-From-Chunk": "1"}),
        await client.post(written(run, "another"), b"3\n"),
        await client.post(f"{written(run)}/append", b"3"),
        await client.post(f"{written(child, whose='parent')}/append", b"3"),
    ]
    again = [
        await client.post(written(run), b"0\n1\n", headers={"X-Client-Id": "w"}),
        await client.post(written(run), b"1\n", headers={"X-Client-Id": "w", "X-Resume-From-Chunk": "1"}),
        await client.post(f"{written(run)}/append", b"2", headers={"X-Part-Id": "p"}),
    ]

    assert {(reply.status, reply.body["error"]) for reply in refused} == {
        (400, f"run {run} has ended; its streams take no more")
    }
    assert [reply.status for reply in again] == [200] * 3
    async with reading(client, run, "words") as events:
        assert [event.data for event in await events.rest()] == [0, 1, 2]


async def test_writer_learns_where_to_go_on(client: Client) -> None:
    run = await client.trigger("add")
    headers = {"X-Client-Id": "w"}
    before = await client.send("HEAD", written(run), headers=headers)
    await send(client, run, "0", "1", x_client_id="w")
    await send(client, run, '"other"', x_client_id="v")

    after = await client.send("HEAD", written(run), headers=headers)

    assert (before.headers["x-last-chunk-index"], after.headers["x-last-chunk-index"]) == ("-1", "1")


async def test_chunks_that_are_sent_again_are_stored_once(client: Client) -> None:
    run = await client.trigger("add")
    await send(client, run, "0", "1", x_client_id="w")

    await send(client, run, "1", "2", x_client_id="w", x_resume_from_chunk="1")
    await finished(client, run)

    async with reading(client, run, "words") as events:
        assert [event.data for event in await events.rest()] == [0, 1, 2]


async def test_line_of_a_broken_request_is_not_stored(client: Client, server_url_http: str) -> None:
    run = await client.trigger("add")

    async def body() -> AsyncIterator[bytes]:
        yield b'"whole"\n"cut'
        async with reading(client, run, "words") as events, asyncio.timeout(5):
            assert await events.take(1) == ["whole"]
        raise ConnectionResetError

    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await client.post(written(run), None, data=body())
    await finished(client, run)

    async with reading(client, run, "words") as events:
        assert [event.data for event in await events.rest()] == ["whole"]


async def test_appended_part_is_stored_once(client: Client) -> None:
    run = await client.trigger("add")

    for part, body in (("a", b"no json\nof any kind"), ("a", b"again"), ("b", b'{ "x": 1 }')):
        reply = await client.post(f"{written(run)}/append", body, headers={"X-Part-Id": part})
        assert (reply.status, reply.body) == (200, {"ok": True})
    await finished(client, run)

    async with reading(client, run, "words") as events:
        assert [event.data for event in await events.rest()] == ["no json\nof any kind", {"x": 1}]


async def test_chunk_that_is_too_large_is_refused(client: Client) -> None:
    run = await client.trigger("add")
    large = b'"' + b"x" * 600_000 + b'"'

    assert (await client.post(f"{written(run)}/append", large)).status == 413
    assert (await client.post(written(run), b"1\n" + large + b"\n")).status == 413


@pytest.mark.parametrize(
    ("bad", "status", "message"),
    [(b"\xff", 400, "chunk 7 is not UTF-8"), (b"x" * 600_000, 413, "chunk 7 is too large")],
)
async def test_chunks_before_a_bad_one_are_stored(client: Client, bad: bytes, status: int, message: str) -> None:
    run = await client.trigger("add")
    headers = {"X-Client-Id": "w", "X-Resume-From-Chunk": "5"}

    refused = await client.post(written(run), b"1\n2\n" + bad + b"\n3\n", headers=headers)
    await finished(client, run)

    assert (refused.status, refused.body["error"][: len(message)]) == (status, message)
    async with reading(client, run, "words") as events:
        assert [event.data for event in await events.rest()] == [1, 2]


async def test_reader_with_little_time_gets_no_comments(client: Client) -> None:
    run = await client.trigger("add")
    for _ in range(3):
        async with reading(client, run, "words", timeout_seconds="1") as events:
            assert await events.next() is None


async def test_stream_of_parent_and_root_is_written_from_below(client: Client) -> None:
    root = await client.trigger("add")
    child = await client.trigger("add", parentRunId=root)
    grandchild = await client.trigger("add", parentRunId=child)

    assert (await client.post(written(grandchild, "up", "root"), b"1\n")).status == 200
    assert (await client.post(written(grandchild, "up", "parent"), b"2\n")).status == 200
    assert (await client.post(written(root, "up", "parent"), b"3\n")).status == 200
    assert (await client.post(written(root, "up", "sibling"), b"4\n")).status == 400
    await finished(client, root)

    async with reading(client, root, "up") as events:
        assert [event.data for event in await events.rest()] == [1, 3]
    async with reading(client, child, "up") as events:
        assert [event.data for event in await events.rest()] == [2]


async def test_stream_is_written_by_the_own_id_of_a_batch_item(client: Client) -> None:
    run = await client.trigger("add", idempotencyKey="k")
    batch = (await client.post("/api/v3/batches", {"runCount": 1})).body["id"]
    filling = {"index": 0, "task": "add", "options": {"idempotencyKey": "k"}}
    await client.post(f"/api/v3/batches/{batch}/items", filling, headers=NDJSON)
    item = ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), 0))
    assert item != run

    async with asyncio.timeout(5):
        assert (await client.send("PUT", written(item))).status == 202
        assert (await client.post(written(item), b"1\n", headers={"X-Client-Id": "w"})).status == 200
        assert (await client.post(f"{written(item)}/append", b"2")).status == 200
        asked = await client.send("HEAD", written(item), headers={"X-Client-Id": "w"})
    await finished(client, run)

    assert asked.headers["x-last-chunk-index"] == "0"
    async with reading(client, run, "words") as events:
        assert [event.data for event in await events.rest()] == [1, 2]


async def test_chunk_taken_by_one_server_is_read_on_another(
    client: Client, running: Running, database_url: str
) -> None:
    run = await client.trigger("add")
    async with served(database_url) as url, Client(url) as elsewhere, reading(elsewhere, run, "words") as events:
        for number in range(3):
            await send(client, run, str(number), x_client_id=str(number))
            async with asyncio.timeout(5):
                assert await events.take(1) == [number]
        await finished(client, run)
        async with asyncio.timeout(5):
            assert await events.rest() == []


async def test_many_readers_share_what_is_read(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await client.trigger("add")
    reads: list[int] = []
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(client, run, "words")) for _ in range(20)]
        await until_readers(20, running)
        (tail,) = running[0].tails._tails[1, ids.parse(ids.RUN, run)].values()
        real = tail._read_chunks

        async def counted(environment: int, wanted: Any, name: Name, first: int) -> Any:
            reads.append(first)
            return await real(environment, wanted, name, first)

        monkeypatch.setattr(tail, "_read_chunks", counted)
        await send(client, run, "1")
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(events.take(1) for events in readers))

    assert answers == [[1]] * 20
    assert reads == [0]


async def test_reader_that_hung_up_leaves_nothing_behind(client: Client, running: Running) -> None:
    run = await client.trigger("add")
    async with reading(client, run, "words"):
        await until_readers(1, running)

    await until_readers(0, running)
    assert running[0].tails._tails == {}


async def test_reader_behind_what_is_kept_catches_up(client: Client, running: Running) -> None:
    run = await client.trigger("add")
    async with reading(client, run, "words") as first:
        await send(client, run, *map(str, range(1_500)))
        async with asyncio.timeout(20):
            assert await first.take(1_500) == list(range(1_500))
        (tail,) = running[0].tails._tails[1, ids.parse(ids.RUN, run)].values()
        assert tail.begin > 0

        async with reading(client, run, "words") as second, asyncio.timeout(20):
            assert await second.take(1_500) == list(range(1_500))


async def test_stopping_server_breaks_streams_off(database_url: str, running: Running) -> None:
    async with served(database_url) as url:
        client = Client(url)
        run = await client.trigger("add")
        response = await client._session.get(f"/realtime/v1/streams/{run}/words")
        await until_readers(1, running)

    # A clean end would tell the reader that there is no more.
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()
    await client._session.close()


async def until_readers(count: int, running: Running) -> None:
    """Wait until so many readers follow streams on the first server."""
    async with asyncio.timeout(10):
        while len(running[0].tails) != count:
            await asyncio.sleep(0.005)
