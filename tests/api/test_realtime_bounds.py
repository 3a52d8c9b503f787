"""What subscriptions may cost a server: places, memory, and the time of its event loop."""

import asyncio
import datetime
import uuid
from typing import Any

import pytest

from oncue.api import electric, last_rows, seen
from oncue.api.electric import Row
from oncue.api.last_rows import LastRows
from oncue.api.rooms import Room
from oncue.api.seen import Feed
from oncue.api.shapes import OneRun, TaggedRuns
from oncue.api.sources import Source, groups
from oncue.engine.realtime import Outline, ShapeRow
from oncue.protocol import ids, limits
from tests.api.client import Client, Running, until_held
from tests.api.electric import Subscriber
from tests.api.tokens import bearing

NOW = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)


def tagged(client: Client, tags: str = "a", **query: str) -> Subscriber:
    return Subscriber(client, "/realtime/v1/runs", tags=tags, **query)


def row(run: uuid.UUID, status: str = "PENDING", **more: Any) -> ShapeRow:
    """A run as it is read."""
    return ShapeRow(
        **{
            "id": run, "status": status, "task": "add", "tags": ["a"], "batch_id": None, "is_test": False,
            "created_at": NOW, "updated_at": NOW, "started_at": None, "finished_at": None, "delay_until": None,
            "ttl": None, "compute_ms": 0, "metadata": None, "metadata_digest": None, "error": None,
            "idempotency_key": None, "payload": None, "payload_type": "application/json", "payload_bytes": None,
            "output": None, "output_type": None, "output_bytes": None, "streams": [], "version": "1", **more,
        }
    )  # fmt: skip


async def unread(work: Any) -> Any:
    """Stand for a database that nobody is to ask."""
    raise AssertionError(work)


async def test_page_loads_leave_room_for_another_environment(
    client: Client, prod_client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SUBSCRIPTIONS", 5)
    followed = await tagged(client).begin()
    held = asyncio.create_task(followed.live())
    await until_held(1, running[0].feeds)
    for _ in range(10):
        assert (await tagged(client).ask()).status == 200

    answers = [await tagged(prod_client).ask() for _ in range(3)]

    assert [reply.status for reply in answers] == [200] * 3
    assert running[0].feeds.kept == 5
    assert not held.done()
    held.cancel()


async def test_held_requests_give_way_to_another_environment(
    client: Client, prod_client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SUBSCRIPTIONS", 3)
    mine = [asyncio.create_task((await tagged(client).begin()).live()) for _ in range(3)]
    await until_held(3, running[0].feeds)

    other = asyncio.create_task((await tagged(prod_client).begin()).live())
    done, waiting = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    await until_held(3, running[0].feeds)
    refused = await tagged(client).ask()

    assert [each.result() for each in done] == [[]]
    assert not other.done()
    assert refused.status == 429
    for each in (*waiting, other):
        each.cancel()


async def test_public_token_holds_no_more_than_its_share(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_TOKEN_SUBSCRIPTIONS", 2)
    async with bearing(client, "read:tags:a") as page:
        held = [asyncio.create_task((await tagged(page).begin()).live()) for _ in range(2)]
        await until_held(2, running[0].feeds)

        refused, accepted = await tagged(page).ask(), await tagged(client).ask()

        assert (refused.status, accepted.status) == (429, 200)
        for each in held:
            each.cancel()


async def test_client_that_is_away_misses_nothing_of_many_changes(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "_PENDING_BYTES", 2_000)
    subscriber = await tagged(client).begin()

    runs = {await client.trigger("add", {"text": "x" * 500}, tags=["a"]) for _ in range(20)}
    (feed,) = running[0].feeds._feeds.values()
    async with asyncio.timeout(10):
        while len(feed._pending) + len(feed._unread) < 20:
            await asyncio.sleep(0.01)
    kept = sum(map(len, feed._pending.values()))
    rows = await subscriber.live()

    assert kept <= 2_000
    assert {each["friendlyId"] for each in rows} == runs
    assert {len(each["payload"]) for each in rows} == {511}
    assert feed.can_tell(feed.state)


async def test_snapshot_leaves_documents_out_beyond_its_bytes(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SNAPSHOT_BYTES", 2_500)
    for _ in range(4):
        await client.trigger("add", "x" * 998, metadata={"k": "y" * 792}, tags=["a"])

    subscriber = await tagged(client).begin()
    first = [dict(each) for each in subscriber.rows.values()]
    held = asyncio.create_task(subscriber.live())
    await until_held(1, running[0].feeds)
    running[0].feeds.refresh(None)
    await client.post(f"/api/v2/runs/{first[3]['friendlyId']}/cancel")
    async with asyncio.timeout(10):
        (changed,) = await held

    assert [each["payload"] is None for each in first] == [False, False, True, True]
    assert [each["metadata"] is None for each in first] == [False, False, False, True]
    # The one that changed is told with all that belongs to it; the others are what they were.
    assert (changed["friendlyId"], len(changed["payload"])) == (first[3]["friendlyId"], 1_000)


async def test_run_that_nobody_wants_is_not_read_whole(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = await tagged(client).begin()
    source = running[0].feeds._source
    real, read = source.runs, set[str]()

    async def counted(environment: int, runs: Any, *, documents: bool) -> Any:
        read.update(ids.show(ids.RUN, run) for run in runs)
        return await real(environment, runs, documents=documents)

    monkeypatch.setattr(source, "runs", counted)
    await client.trigger("add", "x" * 1_000, tags=["b"])
    mine = await client.trigger("add", "x" * 1_000, tags=["a"])
    async with asyncio.timeout(10):
        while not subscriber.rows:
            await subscriber.live()

    assert read == {mine}


def test_large_runs_are_read_in_groups_that_fit_into_memory() -> None:
    large, small = 512 * 1024, 100
    sizes = [*[large] * 20, *[small] * 1_200, 100 * large]
    outlines = [Outline(uuid.uuid4(), [], NOW, size, 0, "1") for size in sizes]

    found = groups(outlines)

    assert [run for group in found for run in group] == [outline.id for outline in outlines]
    assert [len(group) for group in found] == [8, 8, 500, 500, 204, 1]


async def test_many_feeds_of_one_tag_do_not_block_the_loop() -> None:
    room = Room(1, Source(unread))
    since = NOW - datetime.timedelta(days=1)
    feeds = [Feed(TaggedRuns(("a",), since), frozenset(), LastRows()) for _ in range(1_000)]
    for feed in feeds:
        room.add(feed)
    rows = [row(uuid.uuid4()) for _ in range(100)]
    offering = asyncio.create_task(room._offer(rows, began=asyncio.get_running_loop().time()))
    turns = 0

    while not offering.done():
        await asyncio.sleep(0)
        turns += 1

    assert {feed.state for feed in feeds} == {feeds[0].state}
    assert feeds[0].state != 0
    assert turns >= 100 * 1_000 / 500


def test_rows_that_cannot_be_forgotten_are_looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_MOST_REMEMBERED", 100)
    feed = Feed(TaggedRuns((), NOW), frozenset(), LastRows())
    looks: list[int] = []
    real = Feed._forget_some

    def counted(self: Feed) -> None:
        looks.append(1)
        real(self)

    monkeypatch.setattr(Feed, "_forget_some", counted)
    for _ in range(1_000):
        run = uuid.uuid4()
        feed.offer(run, Row(row(run)))

    assert len(looks) <= 5


def test_forgotten_rows_count_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_MOST_REMEMBERED", 10)
    feed, runs = Feed(TaggedRuns((), NOW), frozenset(), LastRows()), [uuid.uuid4() for _ in range(11)]
    for run in runs[:10]:
        feed.offer(run, Row(row(run, "CANCELED", finished_at=NOW)))
    feed.take()

    last = Row(row(runs[10]))
    feed.offer(runs[10], last)

    assert feed.state == last.shown(frozenset()).fingerprint


def of_run(client: Client, run: str, **query: str) -> Subscriber:
    return Subscriber(client, f"/realtime/v1/runs/{run}", **query)


async def test_rows_of_single_runs_take_no_more_than_their_bound(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_rows, "_MOST_BYTES", 10_000)
    run = await client.trigger("add", "x" * 3_000)

    hidden = ["ttl", "error", "number", "isTest", "costInCents", "idempotencyKey"]
    followed = [await of_run(client, run, skipColumns=column).begin() for column in hidden]

    assert running[0].feeds.kept == 6
    assert 0 < running[0].feeds._last._bytes <= 10_000
    held = [asyncio.create_task(each.live()) for each in followed]
    await until_held(6, running[0].feeds)
    await client.post(f"/api/v2/runs/{run}/cancel")
    await asyncio.gather(*held)
    assert [each.row["status"] for each in followed] == ["CANCELED"] * 6
    assert [len(each.row["payload"]) for each in followed] == [3_002] * 6
    assert 0 < running[0].feeds._last._bytes <= 10_000


async def test_row_that_was_let_go_is_read_for_who_was_away(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = await client.trigger("add", "x" * 3_000), await client.trigger("add", "y" * 3_000)
    away = await of_run(client, run).begin()
    monkeypatch.setattr(last_rows, "_MOST_BYTES", 6_000)
    await client.post(f"/api/v2/runs/{run}/cancel")
    await of_run(client, other).begin()

    assert [row["status"] for row in await away.live()] == ["CANCELED"]


def rows_of(*sizes: int) -> list[Any]:
    return [Row(row(uuid.uuid4(), payload="x" * size)).shown(frozenset()) for size in sizes]


def test_row_that_was_used_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: LastRows[str] = LastRows()
    monkeypatch.setattr(last_rows, "_MOST_BYTES", 6_000)
    first, second, third = rows_of(2_000, 2_000, 2_000)
    kept.put("first", first)
    kept.put("second", second)

    assert kept.get("first") is first
    kept.put("third", third)

    assert [kept.get(name) for name in ("first", "second", "third")] == [first, None, third]
    kept.drop("first")
    kept.drop("third")
    assert kept._bytes == 0


def test_row_is_remembered_in_few_ways_of_showing_it() -> None:
    shown = Row(row(uuid.uuid4(), payload="x" * 2_000))
    columns = sorted(set(electric.COLUMNS) - electric.REQUIRED - {"payload"})

    first = [len(shown.shown(frozenset({column}))) for column in columns]

    assert len(shown._shown) < len(columns)
    assert [len(shown.shown(frozenset({column}))) for column in columns] == first
    assert shown.encoded_bytes >= sum(first)


async def test_row_that_was_offered_while_it_was_read_is_the_newer_one() -> None:
    run, last = uuid.uuid4(), LastRows[Feed]()
    feed = Feed(OneRun(run), frozenset(), last)
    rows = [Row(row(run, status, finished_at=at)) for status, at in (("EXECUTING", None), ("COMPLETED", NOW))]
    older, newer = [each.shown(frozenset()) for each in rows]
    feed.fill([rows[0].run], {run: older})
    last.drop(feed)

    with feed.reading() as asked:
        feed.offer(run, rows[1])
        feed.supply({run: older}, asked)

    assert feed.take() == [newer]


async def test_snapshots_of_who_has_left_are_not_read(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SUBSCRIPTIONS", 2)
    feeds, reads = running[0].feeds, 0
    real, go_on = feeds._source.shape, asyncio.Event()

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        await go_on.wait()
        return await real(*args, **options)

    monkeypatch.setattr(feeds._source, "shape", counted)
    asked = [asyncio.create_task(tagged(client).ask()) for _ in range(10)]
    async with asyncio.timeout(10):
        while sum(each.done() for each in asked) < 8:
            await asyncio.sleep(0.01)
    go_on.set()

    assert sorted([reply.status for reply in await asyncio.gather(*asked)]) == [200] * 2 + [429] * 8
    assert reads == 2


async def test_stopping_server_begins_no_more_subscriptions(client: Client, running: Running) -> None:
    running[0].feeds.close()

    assert (await tagged(client).ask()).status == 503
