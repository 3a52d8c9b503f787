"""Subscriptions to a run over raw HTTP, as the official client asks."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from oncue.api import feeds as module
from oncue.api.routes import realtime
from oncue.protocol import ids, limits
from tests.api.client import Client, Running, served, until_held
from tests.api.electric import UP_TO_DATE, VERSION, Subscriber

MISSING = "run_" + "0" * 26


def of(client: Client, run: str, **query: str) -> Subscriber:
    return Subscriber(client, f"/realtime/v1/runs/{run}", **query)


async def executing(client: Client, run: str) -> tuple[str, Any]:
    """Claim a run; returns the worker and the assignment."""
    worker = await client.announce("add")
    answer = await client.claim(worker, wait_ms=5_000)
    (assignment,) = (found for found in answer["assignments"] if found["runId"] == run)
    return worker, assignment


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held requests come back after a moment."""
    monkeypatch.setattr(realtime, "_HOLD_SECONDS", 0.05)


async def test_snapshot_shows_a_run_just_triggered(client: Client) -> None:
    run = await client.trigger("add", {"a": 1}, tags=["x", 'q"\\'])

    subscriber = of(client, run)
    reply = await subscriber.ask()

    assert reply.status == 200
    assert len(reply.body) == 2
    assert reply.body[0]["headers"] == {"operation": "insert"}
    row = subscriber.row
    assert (row["friendlyId"], row["taskIdentifier"], row["status"]) == (run, "add", "PENDING_VERSION")
    assert (row["payload"], row["payloadType"]) == ('{"a":1}', "application/json")
    assert row["runTags"] == r'{"q\"\\","x"}'
    assert row["completedAt"] is None
    assert row["isTest"] == "f"


async def test_every_value_of_a_row_is_text_or_null(client: Client) -> None:
    run = await client.trigger("add", {"a": 1}, ttl="1h", metadata={"k": [1]})

    subscriber = await of(client, run).begin()

    assert {type(value) for value in subscriber.row.values()} == {str, type(None)}
    assert subscriber.row["createdAt"].count(":") == 2
    assert subscriber.row["createdAt"][-4] == "."
    assert (subscriber.row["ttl"], subscriber.row["metadata"]) == ("1h", '{"k":[1]}')


async def test_snapshot_carries_the_headers_that_clients_need(client: Client) -> None:
    run = await client.trigger("add")

    reply = await of(client, run).ask()

    for header in ("electric-handle", "electric-offset", "electric-schema", "electric-up-to-date"):
        assert header in reply.headers
    assert '"status": {"type": "text"}' in reply.headers["electric-schema"]
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "electric-shape-id" not in reply.headers


async def test_clients_of_version_three_find_their_headers(client: Client) -> None:
    run = await client.trigger("add")

    first = await client.get(f"/realtime/v1/runs/{run}?offset=-1")
    offset, handle = first.headers["electric-chunk-last-offset"], first.headers["electric-shape-id"]
    again = await client.get(f"/realtime/v1/runs/{run}?offset={offset}&shape_id={handle}")

    assert (again.status, again.headers["electric-shape-id"]) == (200, handle)


async def test_columns_are_skipped_but_for_required_ones(client: Client) -> None:
    run = await client.trigger("add", {"a": 1})

    subscriber = of(client, run, skipColumns="payload,metadata,status,updatedAt,unheard")
    reply = await subscriber.ask()

    assert "payload" not in subscriber.row
    assert "metadata" not in subscriber.row
    assert subscriber.row["status"] == "PENDING_VERSION"
    assert subscriber.row["updatedAt"]
    assert '"payload"' not in reply.headers["electric-schema"]


async def test_change_of_a_skipped_column_is_not_told(client: Client, impatient: None) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run, skipColumns="metadata").begin()

    await client.send("PUT", f"/api/v1/runs/{run}/metadata", {"metadata": {"a": 1}})

    assert await subscriber.live() == []


async def test_stored_document_is_shown_as_its_path(client: Client) -> None:
    run = await client.trigger("add", "x" * 600_000)

    subscriber = await of(client, run).begin()

    assert subscriber.row["payloadType"] == "application/store"
    path = quote(subscriber.row["payload"], safe="")
    assert (await client.get(f"/api/v1/packets/{path}")).status == 200


async def test_life_of_a_run_reaches_its_subscriber(client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()

    worker, assignment = await executing(client, run)
    async with asyncio.timeout(5):
        await subscriber.until("status", "EXECUTING")
    await client.succeed(worker, assignment, {"sum": 3})
    async with asyncio.timeout(5):
        await subscriber.until("status", "COMPLETED_SUCCESSFULLY")

    row = subscriber.row
    assert (row["output"], row["outputType"], row["usageDurationMs"]) == ('{"sum":3}', "application/json", "5")
    assert row["completedAt"] is not None
    assert row["startedAt"] is not None


async def test_held_request_is_answered_by_the_change(client: Client, running: Running) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()
    held = asyncio.create_task(subscriber.live())
    await until_held(1, running[0].feeds)

    await client.post(f"/api/v1/runs/{run}/tags", {"tags": "late"})

    async with asyncio.timeout(5):
        (row,) = await held
    assert row["runTags"] == '{"late"}'


async def test_change_between_two_requests_is_not_lost(client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()

    await client.post(f"/api/v2/runs/{run}/cancel")

    async with asyncio.timeout(5):
        await subscriber.until("status", "CANCELED")
    assert '"type":"BUILT_IN_ERROR"' in subscriber.row["error"]


async def test_rescheduled_run_shows_its_new_time(client: Client) -> None:
    run = await client.trigger("add", delay="1h")
    subscriber = await of(client, run).begin()
    before = subscriber.row["delayUntil"]
    assert subscriber.row["queuedAt"] is None

    await client.post(f"/api/v1/runs/{run}/reschedule", {"delay": "3h"})

    async with asyncio.timeout(5):
        (row,) = await subscriber.live()
    assert row["delayUntil"] > before


async def test_request_whose_time_is_up_keeps_its_offset(client: Client, impatient: None) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()
    before = subscriber.offset

    reply = await subscriber.ask(live="true", cursor="")

    assert (reply.status, reply.body) == (200, [UP_TO_DATE])
    assert subscriber.offset == before
    assert reply.headers["electric-cursor"]
    assert "electric-schema" not in reply.headers


async def test_request_that_is_not_live_gets_the_snapshot_again(client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()

    reply = await subscriber.ask()

    assert [message["headers"] for message in reply.body] == [{"operation": "insert"}, UP_TO_DATE["headers"]]
    assert "electric-schema" in reply.headers


async def test_unknown_handle_makes_the_client_begin_anew(client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()
    known, subscriber.handle = subscriber.handle, "another"

    reply = await subscriber.ask(live="true", cursor="")

    assert (reply.status, reply.body) == (409, [{"headers": {"control": "must-refetch"}}])
    assert reply.headers["electric-handle"] == known
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_unknown_run_is_not_found_and_says_so_to_browsers(client: Client, running: Running) -> None:
    reply = await of(client, MISSING).ask()

    assert reply.status == 404
    assert reply.headers["access-control-allow-origin"] == "*"
    assert running[0].feeds.kept == 0


async def test_run_of_another_environment_is_not_found(client: Client, prod_client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()

    fresh = await of(prod_client, run).ask()
    borrowed = await subscriber.ask(client=prod_client, live="true", cursor="")

    assert (fresh.status, borrowed.status) == (404, 404)


async def test_run_that_has_ended_is_shown_as_it_ended(client: Client, impatient: None) -> None:
    run = await client.trigger("add")
    worker, assignment = await executing(client, run)
    await client.succeed(worker, assignment, 3)

    subscriber = await of(client, run).begin()

    assert (subscriber.row["status"], subscriber.row["output"]) == ("COMPLETED_SUCCESSFULLY", "3")
    assert await subscriber.live() == []


async def test_batch_item_without_a_run_shows_its_run(client: Client) -> None:
    original = await client.trigger("add", idempotencyKey="k")
    batch = ids.new_batch_id()
    await client.post("/api/v3/batches", {"runCount": 1, "id": batch})
    line = b'{"index":0,"task":"add","payload":1,"options":{"idempotencyKey":"k"}}\n'
    await client.post(f"/api/v3/batches/{batch}/items", line, headers={"Content-Type": "application/x-ndjson"})
    item = ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), 0))

    subscriber = await of(client, item).begin()

    assert subscriber.row["friendlyId"] == original


async def test_browser_may_ask_from_any_page(client: Client) -> None:
    asked = {
        "Access-Control-Request-Headers": "authorization,x-trigger-electric-version",
        "Origin": "https://a.example",
    }

    reply = await client.send("OPTIONS", f"/realtime/v1/runs/{MISSING}", headers=asked)

    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-allow-headers"] == "authorization,x-trigger-electric-version"
    assert reply.headers["access-control-max-age"] == "300"


async def test_caller_without_a_key_is_refused_visibly(server_url_http: str) -> None:
    async with Client(server_url_http, None) as stranger:
        reply = await stranger.get(f"/realtime/v1/runs/{MISSING}", headers=VERSION)

    assert reply.status == 401
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_subscriber_that_hung_up_leaves_nothing_behind(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    run = await client.trigger("add")
    subscriber = await of(client, run).begin()
    held = asyncio.create_task(subscriber.live())
    await until_held(1, running[0].feeds)

    held.cancel()
    await until_held(0, running[0].feeds)

    await eventually_forgotten(running)


async def eventually_forgotten(running: Running) -> None:
    async with asyncio.timeout(5):
        while running[0].feeds.kept or running[0].feeds._rooms:
            await asyncio.sleep(0.005)


async def test_stopping_server_answers_held_subscribers_at_once(database_url: str, running: Running) -> None:
    async with served(database_url) as url:
        client = Client(url)
        subscriber = await of(client, await client.trigger("add")).begin()
        held = asyncio.create_task(subscriber.live())
        await until_held(1, running[0].feeds)

    assert await held == []
    await client._session.close()


async def test_too_many_subscriptions_are_told_to_come_later(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SUBSCRIPTIONS", 1)
    first, second = await client.trigger("add"), await client.trigger("add")
    held = asyncio.create_task((await of(client, first).begin()).live())
    await until_held(1, running[0].feeds)

    reply = await of(client, second).ask()

    assert (reply.status, reply.body["code"]) == (429, "rate_limited")
    held.cancel()


async def test_metadata_of_a_run_that_ended_is_still_told(client: Client) -> None:
    run = await client.trigger("add")
    worker, assignment = await executing(client, run)
    await client.succeed(worker, assignment)
    subscriber = await of(client, run).begin()

    await client.send("PUT", f"/api/v1/runs/{run}/metadata", {"metadata": {"a": 1}})

    async with asyncio.timeout(5):
        await subscriber.until("metadata", '{"a":1}')
