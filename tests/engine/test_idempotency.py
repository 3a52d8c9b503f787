"""Calls of a task that carry one idempotency key are one run."""

import asyncio
import datetime
import uuid

import pytest

from oncue.engine import batch_reading, idempotency, requests, triggering
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import ApiError
from oncue.protocol.triggers import BatchItem, IdempotencyKeyOptions, TriggerOptions
from oncue.protocol.work import ChildSucceeded, RunSettled
from tests.engine.conftest import Engine, request, until_blocked

DAY = datetime.timedelta(days=1)


async def trigger(engine: Engine, task: str = "t", payload: object = None, **options: object) -> tuple[str, bool]:
    (made,) = await engine.trigger_many((task, request(payload, **options)))
    if isinstance(made, ApiError):
        raise made
    return ids.show(ids.RUN, made.run_id), made.is_cached


async def test_the_second_call_gets_the_first_ones_run(engine: Engine) -> None:
    first, is_cached = await trigger(engine, payload=1, idempotency_key="k")
    assert not is_cached
    assert await trigger(engine, payload=2, idempotency_key="k", tags="late", delay="1h") == (first, True)
    view = await engine.retrieve(first)
    assert bytes(view.payload) == b"1"
    assert view.tags == []
    assert view.status == "PENDING_VERSION"


async def test_a_key_belongs_to_its_task_and_environment(engine: Engine, production: Engine) -> None:
    first, _ = await trigger(engine, idempotency_key="k")
    other_task, task_cached = await trigger(engine, task="other", idempotency_key="k")
    other_environment, environment_cached = await trigger(production, idempotency_key="k")
    assert len({first, other_task, other_environment}) == 3
    assert not task_cached
    assert not environment_cached


@pytest.mark.parametrize(
    ("ending", "is_cached"), [("success", True), ("canceled", True), ("failure", False), ("expired", False)]
)
async def test_a_run_that_did_not_get_through_gives_its_key_up(engine: Engine, ending: str, is_cached: bool) -> None:
    worker = await engine.announce("t")
    first, _ = await trigger(engine, idempotency_key="k", max_attempts=1, ttl="1m")
    if ending == "canceled":
        await engine.cancel(first)
    elif ending == "expired":
        await engine.advance(datetime.timedelta(minutes=1))
        await engine.expire_due()
    else:
        (run,) = await engine.claim(worker)
        await (engine.succeed(worker, run) if ending == "success" else engine.fail(worker, run))
    second, cached = await trigger(engine, idempotency_key="k")
    assert cached is is_cached
    assert (second == first) is is_cached
    if not is_cached:
        assert await trigger(engine, idempotency_key="k") == (second, True)
        shown = await engine.run(lambda tx: tx.fetch("select id, idempotency_key from oncue.runs order by id"))
        assert [row["idempotency_key"] for row in shown] == [None, "k"]


async def test_call_sent_again_after_its_run_failed_means_that_run(engine: Engine) -> None:
    worker = await engine.announce("t")
    first, _ = await trigger(engine, idempotency_key="k", max_attempts=1)
    sent = ("t", request(2, idempotency_key="k", run_id=ids.new_run_id()))
    before = await engine.trigger_many(sent)
    (run,) = await engine.claim(worker)
    await engine.fail(worker, run)

    after = await engine.trigger_many(sent)

    assert before == after == [Triggered(ids.parse(ids.RUN, first), is_cached=True)]
    assert await trigger(engine, idempotency_key="k") != (first, True)


async def test_a_key_counts_for_thirty_days_or_as_long_as_said(engine: Engine) -> None:
    first, _ = await trigger(engine, idempotency_key="k")
    short, _ = await trigger(engine, idempotency_key="short", idempotency_key_ttl="1h")
    await engine.advance(datetime.timedelta(hours=1))
    assert (await trigger(engine, idempotency_key="short"))[0] != short
    await engine.advance(30 * DAY - datetime.timedelta(hours=1, seconds=1))
    assert await trigger(engine, idempotency_key="k") == (first, True)
    await engine.advance(datetime.timedelta(seconds=1))
    assert (await trigger(engine, idempotency_key="k"))[0] != first


async def test_reset_makes_the_next_call_a_new_run(engine: Engine) -> None:
    first, _ = await trigger(engine, idempotency_key="k")

    async def reset(task: str, key: str) -> bool:
        return await engine.run(lambda tx: idempotency.reset(tx, engine.environment, task=task, key=key))

    assert not await reset("other", "k")
    assert await reset("t", "k")
    assert not await reset("t", "k")
    second, is_cached = await trigger(engine, idempotency_key="k")
    assert second != first
    assert not is_cached


async def test_calls_of_one_group_with_one_key_are_one_run(engine: Engine) -> None:
    made = await engine.trigger_many(*(("t", request(n, idempotency_key="k")) for n in range(3)))
    assert all(isinstance(one, Triggered) for one in made)
    runs = [one for one in made if isinstance(one, Triggered)]
    assert len({one.run_id for one in runs}) == 1
    assert [one.is_cached for one in runs] == [False, True, True]


async def test_a_thousand_calls_at_once_make_one_run(engine: Engine) -> None:
    made = await asyncio.gather(*(trigger(engine, idempotency_key="k") for _ in range(1_000)))
    assert len({run for run, _ in made}) == 1
    assert sum(not is_cached for _, is_cached in made) == 1
    assert await engine.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == 1


async def test_a_call_waits_for_the_one_that_holds_its_key(engine: Engine) -> None:
    holding = asyncio.Event()
    release = asyncio.Event()

    async def first() -> None:
        async def hold(tx: object) -> None:
            run = requests.plan("t", request(idempotency_key="k"))
            await triggering.trigger_many(tx, engine.environment, [run], effects=engine.effects)  # type: ignore[arg-type]
            holding.set()
            await release.wait()
            raise RuntimeError("rolled back")

        with pytest.raises(RuntimeError, match="rolled back"):
            await engine.run(hold)

    one = asyncio.create_task(first())
    await holding.wait()
    other = asyncio.create_task(trigger(engine, idempotency_key="k"))
    await until_blocked(engine)
    release.set()
    await one
    assert not (await other)[1]


async def test_a_request_sent_again_is_no_cached_one(engine: Engine) -> None:
    run_id = ids.new_run_id()
    for _ in range(2):
        assert await trigger(engine, idempotency_key="k", run_id=run_id) == (run_id, False)
    keyed = [await engine.trigger_many(("t", request(idempotency_key="j")), request_key="r") for _ in range(2)]
    assert keyed[0] == keyed[1]


async def test_a_parent_waits_for_the_run_of_the_key(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    shared, _ = await trigger(engine, idempotency_key="k")
    (child,) = await engine.claim(worker)
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    assert await engine.wait_for(parent, worker, "t", idempotency_key="k") == shared
    assert await engine.status(parent.run_id) == "WAITING"
    await engine.succeed(worker, child, output=b"7")
    (notice,) = await engine.notices(worker)
    assert isinstance(notice, RunSettled)
    assert isinstance(notice.child, ChildSucceeded)
    assert bytes(notice.child.output) == b"7"
    again = await engine.wait_for(parent, worker, "t", idempotency_key="k")
    assert again == shared
    assert await engine.status(parent.run_id) == "EXECUTING"


async def test_a_run_may_not_wait_for_itself(engine: Engine) -> None:
    worker = await engine.announce("t")
    await trigger(engine, idempotency_key="k")
    (run,) = await engine.claim(worker)
    with pytest.raises(ApiError, match="would wait for itself; use another key"):
        await engine.wait_for(run, worker, "t", idempotency_key="k")
    assert await engine.status(run.run_id) == "EXECUTING"
    assert await engine.child(run, worker, "t", idempotency_key="k") == run.run_id


async def test_items_stand_for_the_run_of_their_key(engine: Engine) -> None:
    worker = await engine.announce("t")
    done, _ = await trigger(engine, idempotency_key="done")
    (run,) = await engine.claim(worker)
    await engine.succeed(worker, run, output=b'"old"')
    queued, _ = await trigger(engine, idempotency_key="queued")
    batch = await engine.create_batch(4)
    keys = ["done", "queued", "new", "new"]
    items = [BatchItem(n, "t", options=TriggerOptions(idempotency_key=key)) for n, key in enumerate(keys)]
    assert await engine.fill_batch(batch, *items[:2]) == (2, 0, False)
    assert await engine.fill_batch(batch, *items) == (2, 2, True)
    key = ids.parse(ids.BATCH, batch)
    view = await engine.run(lambda tx: batch_reading.retrieve(tx, engine.environment, key))
    assert view.runs[:2] == [done, queued]
    assert view.runs[2] == view.runs[3] == ids.show(ids.RUN, ids.item_run_id(key, 2))
    assert view.status == "PROCESSING"
    for claimed in await engine.claim(worker):
        await engine.succeed(worker, claimed, output=b'"new"')
    view = await engine.run(lambda tx: batch_reading.retrieve(tx, engine.environment, key))
    assert view.status == "COMPLETED"
    results = await engine.run(lambda tx: batch_reading.read_results(tx, engine.environment, key, after=0, limit=100))
    assert [bytes(one.output) for one in results if isinstance(one, ChildSucceeded)] == [
        b'"old"',
        b'"new"',
        b'"new"',
        b'"new"',
    ]


async def test_an_item_sent_again_keeps_the_run_it_stood_for(engine: Engine) -> None:
    worker = await engine.announce("t")
    await trigger(engine, idempotency_key="k", max_attempts=1)
    batch = await engine.create_batch(2)
    item = BatchItem(0, "t", options=TriggerOptions(idempotency_key="k"))
    assert await engine.fill_batch(batch, item) == (1, 0, False)
    (run,) = await engine.claim(worker)
    await engine.fail(worker, run)
    assert await engine.fill_batch(batch, item) == (0, 1, False)
    assert await engine.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == 1


async def test_a_batch_key_names_the_batch_for_a_day(engine: Engine) -> None:
    first = await engine.create_batch(1, idempotency_key="k")
    assert await engine.create_batch(1, idempotency_key="k") == first
    with pytest.raises(ApiError, match="1 items has already been created with the same idempotency key, and this one"):
        await engine.create_batch(2, idempotency_key="k")
    await engine.advance(DAY + datetime.timedelta(seconds=1))
    assert await engine.create_batch(2, idempotency_key="k") != first


async def test_expired_keys_are_dropped_and_others_kept(engine: Engine) -> None:
    await trigger(engine, idempotency_key="old", idempotency_key_ttl="1m")
    await trigger(engine, idempotency_key="kept")
    await engine.advance(datetime.timedelta(minutes=1))
    await engine.run(idempotency.forget_expired)
    assert await engine.run(lambda tx: tx.fetchval("select string_agg(key, ',') from oncue.idempotency_keys")) == "kept"


async def test_the_key_is_shown_as_a_person_wrote_it(engine: Engine) -> None:
    named = IdempotencyKeyOptions("order-7", "run")
    run, _ = await trigger(engine, idempotency_key="f" * 64, idempotency_key_options=named)
    row = await engine.run(
        lambda tx: tx.fetchrow("select idempotency_options from oncue.runs where id = $1", uuid.UUID(int=_number(run)))
    )
    assert row is not None
    assert row["idempotency_options"] == '{"key":"order-7","scope":"run"}'


def _number(run: str) -> int:
    return ids.parse(ids.RUN, run).int


@pytest.mark.parametrize("ttl", ["soon", "0s", "2030-01-01"])
async def test_a_lifetime_that_is_none_is_refused(engine: Engine, ttl: str) -> None:
    with pytest.raises(ApiError, match=r"options.idempotencyKeyTTL: .* is not a length of time above zero"):
        await trigger(engine, idempotency_key="k", idempotency_key_ttl=ttl)
