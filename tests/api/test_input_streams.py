"""Input streams of runs over raw HTTP: sent from anywhere, followed by the run."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from oncue.protocol import ids
from tests.api.client import NDJSON, Client, Reply, served
from tests.api.electric import Subscriber
from tests.api.events import Events, reading
from tests.api.tokens import bearing

MISSING = "run_" + "0" * 26


def sent_to(run: str, key: str = "chat") -> str:
    return f"/realtime/v1/streams/{run}/input/{key}"


async def send(client: Client, run: str, value: Any, **headers: str) -> Reply:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return await client.post(sent_to(run), {"data": value}, headers=sent)


@contextlib.asynccontextmanager
async def receiving(client: Client, run: str, **headers: str) -> AsyncIterator[Events]:
    async with reading(client, run, "input/chat", **headers) as events, asyncio.timeout(10):
        yield events


async def test_values_are_read_in_the_order_of_sending(client: Client) -> None:
    run = await client.trigger("add")
    values = [{"a": [1, None]}, "two\nlines", 3, None]
    for value in values:
        reply = await send(client, run, value)
        assert (reply.status, reply.body) == (200, {"ok": True})

    async with receiving(client, run) as events:
        assert await events.take(4) == values
        await send(client, run, "later")
        assert await events.take(1) == ["later"]
        await client.post(f"/api/v2/runs/{run}/cancel")
        assert await events.rest() == []


async def test_reader_of_inputs_goes_on_after_an_event(client: Client) -> None:
    run = await client.trigger("add")
    for value in range(3):
        await send(client, run, value)
    async with receiving(client, run) as events:
        await events.next()
        second = await events.next()
    assert second is not None

    async with receiving(client, run, Last_Event_ID=second.id) as events:
        assert await events.take(1) == [2]


async def test_input_and_output_of_one_key_are_two_streams(client: Client) -> None:
    run = await client.trigger("add")
    await client.post(f"/realtime/v1/streams/{run}/self/chat", b'"out"\n')
    await send(client, run, "in")
    subscriber = await Subscriber(client, f"/realtime/v1/runs/{run}").begin()
    await client.post(f"/api/v2/runs/{run}/cancel")

    async with reading(client, run, "chat") as events:
        assert [event.data for event in await events.rest()] == ["out"]
    async with receiving(client, run) as events:
        assert [event.data for event in await events.rest()] == ["in"]
    assert subscriber.row["realtimeStreams"] == '{"chat"}'


async def test_input_alone_is_no_stream_of_the_run(client: Client) -> None:
    run = await client.trigger("add")
    await send(client, run, 1)

    subscriber = await Subscriber(client, f"/realtime/v1/runs/{run}").begin()

    assert subscriber.row["realtimeStreams"] == "{}"


async def test_value_that_is_sent_again_is_stored_once(client: Client) -> None:
    run = await client.trigger("add")
    await asyncio.gather(*(send(client, run, 1, X_Part_Id="a") for _ in range(5)))
    await send(client, run, 2, X_Part_Id="b")
    await client.post(f"/api/v2/runs/{run}/cancel")

    assert (await send(client, run, 2, X_Part_Id="b")).status == 200
    async with receiving(client, run) as events:
        assert [(event.number, event.data) for event in await events.rest()] == [(0, 1), (1, 2)]


async def test_run_that_has_ended_is_sent_nothing(client: Client) -> None:
    run = await client.trigger("add")
    await client.post(f"/api/v2/runs/{run}/cancel")

    reply = await send(client, run, 1)

    assert reply.status == 400
    assert reply.body["error"] == f"run {run} has ended; nobody would read what it is sent"


async def test_values_that_cannot_be_sent_are_refused(client: Client) -> None:
    run = await client.trigger("add")
    large = msgspec.json.encode({"data": "x" * 1024 * 1024})

    assert (await client.post(sent_to(run), data=io.BytesIO(large))).status == 413
    assert (await client.post(sent_to(run), b"no json")).status == 400
    assert (await client.post(sent_to(run), b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}")).status == 400
    assert (await client.post(sent_to(run, "x" * 257), {"data": 1})).status == 400
    assert (await client.send("PUT", sent_to(run))).status == 405
    assert (await client.post(sent_to(run), data=io.BytesIO(large.replace(b"x" * 100, b"", 1)))).status == 200


async def test_inputs_of_runs_that_are_not_there_are_not_found(client: Client, prod_client: Client) -> None:
    run = await client.trigger("add")

    for caller, asked in ((client, MISSING), (prod_client, run)):
        assert (await send(caller, asked, 1)).status == 404
        assert (await caller.get(sent_to(asked))).status == 404


async def test_item_of_another_run_passes_values_on(client: Client) -> None:
    run = await client.trigger("add", idempotencyKey="k")
    batch = (await client.post("/api/v3/batches", {"runCount": 1})).body["id"]
    filling = {"index": 0, "task": "add", "options": {"idempotencyKey": "k"}}
    await client.post(f"/api/v3/batches/{batch}/items", filling, headers=NDJSON)
    item = ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), 0))

    assert (await send(client, item, "by item")).status == 200

    async with receiving(client, run) as events:
        assert await events.take(1) == ["by item"]


async def test_token_of_a_trigger_may_send_to_its_run(client: Client) -> None:
    reply = await client.post("/api/v1/tasks/add/trigger", {"payload": 1})
    run = reply.body["id"]

    async with Client(client.url, reply.headers["x-trigger-jwt"]) as page:
        answer = await client.send("OPTIONS", sent_to(run), headers={"Origin": "http://page"})
        assert (await send(page, run, "from the page")).status == 200
        async with receiving(page, run) as events:
            assert await events.take(1) == ["from the page"]

    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    async with bearing(client, f"write:inputStreams:{MISSING}") as other:
        assert (await send(other, run, 1)).status == 403


async def test_value_taken_by_one_server_is_read_on_another(client: Client, database_url: str) -> None:
    run = await client.trigger("add")
    async with served(database_url) as url, Client(url) as elsewhere, receiving(elsewhere, run) as events:
        for value in range(3):
            await send(client, run, value)
            assert await events.take(1) == [value]


async def test_senders_at_once_leave_no_gap(client: Client) -> None:
    run = await client.trigger("add")
    await asyncio.gather(*(send(client, run, value) for value in range(20)))
    await client.post(f"/api/v2/runs/{run}/cancel")

    async with receiving(client, run) as events:
        found = await events.rest()

    assert [event.number for event in found] == list(range(20))
    assert {event.data for event in found} == set(range(20))
