"""Subscriptions to runs with tags and to batches, over raw HTTP."""

import asyncio
import datetime

import pytest

from oncue.api.routes import realtime
from oncue.protocol import ids
from oncue.store.pool import connect
from tests.api.client import NDJSON, Client, served
from tests.api.electric import Subscriber


def tagged(client: Client, tags: str, **query: str) -> Subscriber:
    return Subscriber(client, "/realtime/v1/runs", tags=tags, **query)


def batched(client: Client, batch: str) -> Subscriber:
    return Subscriber(client, f"/realtime/v1/batches/{batch}")


async def created(client: Client, count: int) -> str:
    """Make a batch that is yet to be filled."""
    reply = await client.post("/api/v3/batches", {"runCount": count})
    assert reply.status == 202, reply
    return str(reply.body["id"])


async def fill(client: Client, batch: str, *lines: bytes) -> None:
    reply = await client.post(f"/api/v3/batches/{batch}/items", b"\n".join(lines), headers=NDJSON)
    assert reply.status == 200, reply


def item(batch: str, index: int) -> str:
    return ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), index))


def names(subscriber: Subscriber) -> set[str]:
    return {row["friendlyId"] for row in subscriber.rows.values()}


async def until_known(subscriber: Subscriber, runs: set[str]) -> None:
    """Follow until these runs are known."""
    async with asyncio.timeout(10):
        while names(subscriber) != runs:
            await subscriber.live()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held requests come back after a moment."""
    monkeypatch.setattr(realtime, "_HOLD_SECONDS", 0.05)


async def test_only_runs_with_all_tags_are_shown(client: Client) -> None:
    both = await client.trigger("add", tags=["a", "b", "c"])
    await client.trigger("add", tags=["a"])
    await client.trigger("add")

    subscriber = await tagged(client, "a,b").begin()

    assert names(subscriber) == {both}


async def test_without_tags_all_recent_runs_are_shown(client: Client) -> None:
    runs = {await client.trigger("add", tags=["a"]), await client.trigger("add")}

    subscriber = await Subscriber(client, "/realtime/v1/runs").begin()

    assert names(subscriber) == runs


async def test_new_run_with_the_tag_appears(client: Client) -> None:
    first = await client.trigger("add", tags=["a"])
    subscriber = await tagged(client, "a").begin()

    await client.trigger("add", tags=["b"])
    second = await client.trigger("add", tags=["a", "b"])

    await until_known(subscriber, {first, second})


async def test_run_that_is_given_the_tag_appears(client: Client) -> None:
    run = await client.trigger("add")
    subscriber = await tagged(client, "a").begin()
    assert names(subscriber) == set()

    await client.post(f"/api/v1/runs/{run}/tags", {"tags": "a"})

    await until_known(subscriber, {run})


async def test_only_changed_rows_are_sent_again(client: Client) -> None:
    first, second = [await client.trigger("add", tags=["a"]) for _ in range(2)]
    subscriber = await tagged(client, "a").begin()

    await client.post(f"/api/v2/runs/{first}/cancel")

    async with asyncio.timeout(10):
        rows = await subscriber.live()
    assert [(row["friendlyId"], row["status"]) for row in rows] == [(first, "CANCELED")]
    assert names(subscriber) == {first, second}


async def test_runs_of_another_environment_are_never_shown(
    client: Client, prod_client: Client, impatient: None
) -> None:
    subscriber = await tagged(prod_client, "a").begin()

    await client.trigger("add", tags=["a"])

    assert await subscriber.live() == []
    assert names(await tagged(prod_client, "a").begin()) == set()


async def test_handles_of_feeds_differ_for_each_client(client: Client) -> None:
    first, second = await tagged(client, "a").begin(), await tagged(client, "a").begin()

    assert first.handle != second.handle


@pytest.mark.parametrize("tag", ["it's", 'say "a"', "back\\slash", "new\nline"])
async def test_tag_that_cannot_be_asked_for_is_refused(client: Client, tag: str) -> None:
    assert (await tagged(client, tag).ask()).status == 400


async def test_lookback_leaves_older_runs_out(client: Client, database_url: str) -> None:
    old, new = await client.trigger("add", tags=["a"]), await client.trigger("add", tags=["a"])
    connection = await connect(database_url)
    await connection.execute(
        "update oncue.runs set created_at = created_at - interval '2 hours' where id = $1", ids.parse(ids.RUN, old)
    )
    await connection.close()

    assert names(await tagged(client, "a", createdAt="1h").begin()) == {new}
    assert names(await tagged(client, "a", createdAt="3d").begin()) == {old, new}
    assert (await tagged(client, "a", createdAt="soon").ask()).status == 400


async def test_moment_of_a_subscription_stays_where_it_was(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await client.trigger("add", tags=["a"])
    subscriber = await tagged(client, "a", createdAt="1m").begin()
    later = realtime._now() + datetime.timedelta(hours=1)
    monkeypatch.setattr(realtime, "_now", lambda: later)

    await client.post(f"/api/v2/runs/{run}/cancel")

    async with asyncio.timeout(10):
        await subscriber.until("status", "CANCELED")


async def test_handle_made_by_hand_shows_no_older_runs(client: Client, database_url: str, impatient: None) -> None:
    old = await client.trigger("add", tags=["a"])
    connection = await connect(database_url)
    await connection.execute(
        "update oncue.runs set created_at = created_at - interval '2 days' where id = $1", ids.parse(ids.RUN, old)
    )
    await connection.close()
    long_ago = int((realtime._now() - datetime.timedelta(days=6)).timestamp())
    an_hour_ago = int((realtime._now() - datetime.timedelta(hours=1)).timestamp())
    forged = tagged(client, "a", createdAt="1m")

    for moment, offset in [(long_ago, "-1"), (an_hour_ago, "-1"), (long_ago, "0_0")]:
        forged.handle = f"{moment}-0123456789abcdef"
        reply = await forged.ask(offset=offset, live="true", cursor="")
        assert old not in str(reply.body)
        assert reply.headers["electric-handle"] != f"{moment}-0123456789abcdef"
        assert reply.status == (200 if offset == "-1" else 409)


async def test_subscription_goes_on_elsewhere_with_its_moment(
    client: Client, database_url: str, impatient: None
) -> None:
    subscriber = await tagged(client, "a", createdAt="24h").begin()

    async with served(database_url) as url, Client(url) as elsewhere:
        assert await subscriber.live(client=elsewhere) == []


@pytest.mark.parametrize("rest", ["-0123456789abcdef\r\nx: y", "-0123456789abcde", "-" + "0" * 5_000, "", "x"])
async def test_batch_handle_of_another_form_begins_anew(client: Client, rest: str) -> None:
    batch = await created(client, 1)
    subscriber = batched(client, batch)
    subscriber.handle = given = ids.parse(ids.BATCH, batch).hex + rest

    reply = await subscriber.ask()

    assert reply.status == 200
    assert reply.headers["electric-handle"] != given
    assert len(reply.headers["electric-handle"]) == 49


async def test_subscription_of_a_week_begins_anew(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber = await tagged(client, "a").begin()
    later = realtime._now() + datetime.timedelta(days=8)
    monkeypatch.setattr(realtime, "_now", lambda: later)

    reply = await subscriber.ask(live="true", cursor="")

    assert reply.status == 409


async def test_other_server_sends_nothing_that_was_seen(client: Client, database_url: str, impatient: None) -> None:
    runs = {await client.trigger("add", tags=["a"]) for _ in range(3)}
    subscriber = await tagged(client, "a").begin()
    async with served(database_url) as url, Client(url) as elsewhere:
        unchanged = await subscriber.live(client=elsewhere)
        new = await elsewhere.trigger("add", tags=["a"])
        await until_known(subscriber, runs | {new})

        back = await subscriber.live(client=elsewhere)

    assert unchanged == []
    # Nothing is lost where servers take turns; what was seen may come again, and does so at most once.
    assert len(back) in {0, 1, 4}


async def test_runs_of_a_batch_appear_as_it_is_filled(client: Client) -> None:
    batch = await created(client, 2)
    subscriber = await batched(client, batch).begin()
    assert names(subscriber) == set()

    await fill(client, batch, b'{"index":0,"task":"add"}')
    await until_known(subscriber, {item(batch, 0)})
    await fill(client, batch, b'{"index":1,"task":"add","options":{"maxAttempts":-1}}')

    await until_known(subscriber, {item(batch, 0), item(batch, 1)})
    assert {row["status"] for row in subscriber.rows.values()} == {"PENDING_VERSION", "SYSTEM_FAILURE"}


async def test_run_that_an_item_stands_for_is_followed(client: Client) -> None:
    original = await client.trigger("add", idempotencyKey="k")
    batch = await created(client, 2)
    subscriber = await batched(client, batch).begin()

    await fill(client, batch, b'{"index":0,"task":"add","options":{"idempotencyKey":"k"}}', b'{"index":1,"task":"add"}')
    await until_known(subscriber, {original, item(batch, 1)})
    await client.post(f"/api/v2/runs/{original}/cancel")

    async with asyncio.timeout(10):
        await subscriber.until("status", "CANCELED")
    assert names(await batched(client, batch).begin()) == {original, item(batch, 1)}


async def test_batch_of_another_environment_is_not_found(client: Client, prod_client: Client, impatient: None) -> None:
    batch = await created(client, 1)
    subscriber = await batched(client, batch).begin()
    await fill(client, batch, b'{"index":0,"task":"add"}')

    assert (await batched(prod_client, batch).ask()).status == 404
    borrowed = await subscriber.ask(client=prod_client, live="true", cursor="")

    assert borrowed.status == 200
    assert [message for message in borrowed.body if "value" in message] == []
