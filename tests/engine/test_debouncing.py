"""Calls with one debounce key fall together into one held run."""

import asyncio
import datetime

import msgspec
import pytest

from oncue.engine import batch_reading, debouncing, upkeep
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import ApiError
from oncue.protocol.triggers import BatchItem, DebounceOption, TriggerOptions
from oncue.protocol.work import RunSettled
from tests.engine.conftest import Engine, request, until_blocked

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


def seconds(count: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=count)


@pytest.fixture
def noon(engine: Engine) -> Engine:
    engine.moment = NOON
    return engine


def five(**fields: object) -> DebounceOption:
    return DebounceOption(**({"key": "k", "delay": "5s"} | fields))  # type: ignore[arg-type]


async def call(engine: Engine, payload: object = None, **options: object) -> str:
    return await engine.trigger("t", payload, **({"debounce": five()} | options))


async def due(engine: Engine, run: str) -> datetime.timedelta:
    until = (await engine.retrieve(run)).delayed_until
    assert until is not None
    held = await engine.run(
        lambda tx: tx.fetchval("select due_at from oncue.live where run_id = $1", ids.parse(ids.RUN, run))
    )
    assert held == until
    return until - NOON


async def payload(engine: Engine, run: str) -> object:
    return msgspec.json.decode((await engine.retrieve(run)).payload)


async def test_each_call_pushes_the_run_and_the_first_payload_stays(noon: Engine) -> None:
    first = await call(noon, "first")
    assert await due(noon, first) == seconds(5)
    await noon.advance(seconds(3.7))
    (again,) = await noon.trigger_many(("t", request("second", debounce=five(), tags="late", priority=5)))
    assert again == Triggered(ids.parse(ids.RUN, first), is_cached=False)
    assert await due(noon, first) == seconds(8)
    assert await payload(noon, first) == "first"
    assert (await noon.retrieve(first)).tags == []
    assert await noon.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == 1


async def test_a_push_never_pulls_a_run_earlier(noon: Engine) -> None:
    run = await call(noon, delay="1h")
    assert await due(noon, run) == seconds(3600)
    assert await call(noon) == run
    assert await due(noon, run) == seconds(3600)


@pytest.mark.parametrize("delay", ["1h", "2030-01-01T13:00:00Z"])
async def test_no_delay_holds_a_run_beyond_the_longest(noon: Engine, delay: str) -> None:
    """Source: trigger-functions page: with maxDelay a run is always executed within that time of its first trigger."""
    run = await call(noon, delay=delay, debounce=five(max_delay="5m"))
    assert await due(noon, run) == seconds(300)
    sooner = await call(noon, delay="2030-01-01T12:01:00Z", debounce=five(key="sooner", max_delay="5m"))
    assert await due(noon, sooner) == seconds(60)


async def test_once_released_the_next_call_begins_another_run(noon: Engine) -> None:
    worker = await noon.announce("t")
    first = await call(noon)
    await noon.advance(seconds(5))
    await noon.release_due()
    second = await call(noon)
    assert second != first
    assert [run.run_id for run in await noon.claim(worker)] == [first]
    assert await call(noon) == second


async def test_a_key_belongs_to_its_task_and_environment(noon: Engine, production: Engine) -> None:
    runs = {
        await call(noon),
        await call(production),
        await noon.trigger("other", debounce=five()),
        await call(noon, debounce=five(key="j")),
    }
    assert len(runs) == 4


async def test_a_canceled_run_takes_no_more_calls(noon: Engine) -> None:
    first = await call(noon)
    await noon.cancel(first)
    assert await call(noon) != first


async def test_trailing_replaces_the_payload_and_what_the_call_says(noon: Engine) -> None:
    trailing = five(mode="trailing")
    first = await call(
        noon,
        "first",
        tags=["a"],
        metadata=msgspec.Raw(b'{"a":1}'),
        max_attempts=2,
        priority=1,
        ttl="1h",
        concurrency_key="x",
        queue="q",
        region="eu",
        machine="micro",
    )
    assert await call(noon, "second", debounce=trailing) == first
    view = await noon.retrieve(first)
    assert await payload(noon, first) == "second"
    assert view.tags == ["a"]
    assert bytes(view.metadata) == b'{"a":1}'
    await call(
        noon,
        "third",
        debounce=trailing,
        tags=["b"],
        metadata=msgspec.Raw(b'{"b":2}'),
        max_attempts=7,
        max_duration=60,
        machine="large-1x",
        priority=9,
        ttl="2h",
        concurrency_key="y",
        queue="r",
        region="us",
        test=True,
    )
    row = await noon.run(
        lambda tx: tx.fetchrow(
            """select payload, tags, metadata, max_attempts, max_duration, machine, priority, ttl, concurrency_key,
                queue, region, is_test from oncue.runs"""
        )
    )
    assert row is not None
    assert dict(row) == {
        "payload": '"third"',
        "tags": ["b"],
        "metadata": '{"b":2}',
        "max_attempts": 7,
        "max_duration": seconds(60),
        "machine": "large-1x",
        "priority": 1_000,
        "ttl": datetime.timedelta(hours=1),
        "concurrency_key": "x",
        "queue": "q",
        "region": "eu",
        "is_test": False,
    }
    await call(noon, "fourth", debounce=trailing, tags=[])
    assert (await noon.retrieve(first)).tags == []


@pytest.mark.parametrize("told_again", [True, False])
async def test_the_run_is_never_held_beyond_max_delay(noon: Engine, told_again: bool) -> None:
    worker = await noon.announce("t")
    bounded = five(max_delay="12s")
    run = await call(noon, debounce=bounded)
    for _ in range(5):
        await noon.advance(seconds(3))
        if noon.moment == NOON + seconds(15):
            break
        assert await call(noon, debounce=bounded if told_again else five()) == run
    assert await due(noon, run) == seconds(12)
    await noon.release_due()
    assert [claimed.run_id for claimed in await noon.claim(worker)] == [run]
    assert await call(noon, debounce=bounded) != run


async def test_calls_of_one_group_fall_together(noon: Engine) -> None:
    wanted = [request(n, debounce=five(mode="trailing", delay=f"{5 + n}s")) for n in range(3)]
    made = await noon.trigger_many(*(("t", one) for one in wanted))
    (run_id,) = {one.run_id for one in made if isinstance(one, Triggered)}
    run = ids.show(ids.RUN, run_id)
    assert await payload(noon, run) == 2
    assert await due(noon, run) == seconds(7)


async def test_a_request_sent_again_pushes_nothing(noon: Engine) -> None:
    run = ids.new_run_id()
    assert await call(noon, run_id=run) == run
    await noon.advance(seconds(2))
    assert await call(noon, run_id=run) == run
    assert await due(noon, run) == seconds(5)


async def test_idempotency_is_looked_at_first(noon: Engine) -> None:
    held = await call(noon, "held")
    (merged,) = await noon.trigger_many(("t", request("x", debounce=five(), idempotency_key="i")))
    assert merged == Triggered(ids.parse(ids.RUN, held), is_cached=False)
    await noon.advance(seconds(2))
    before = await due(noon, held)
    (cached,) = await noon.trigger_many(("t", request("y", debounce=five(mode="trailing"), idempotency_key="i")))
    assert cached == Triggered(ids.parse(ids.RUN, held), is_cached=True)
    assert await due(noon, held) == before
    assert await payload(noon, held) == "held"


async def test_a_parent_waits_for_the_held_run(noon: Engine) -> None:
    worker = await noon.announce("parent", "t")
    held = await call(noon)
    await noon.trigger("parent")
    (parent,) = await noon.claim(worker)
    assert await noon.wait_for(parent, worker, "t", debounce=five()) == held
    await noon.advance(seconds(5))
    await noon.release_due()
    (child,) = await noon.claim(worker)
    await noon.succeed(worker, child)
    (notice,) = await noon.notices(worker)
    assert isinstance(notice, RunSettled)
    assert notice.resumes


async def test_items_of_a_batch_fall_together(noon: Engine) -> None:
    worker = await noon.announce("t")
    batch = await noon.create_batch(3)
    items = [
        BatchItem(n, "t", msgspec.Raw(str(n).encode()), TriggerOptions(debounce=five(mode="trailing")))
        for n in range(3)
    ]
    assert await noon.fill_batch(batch, *items) == (3, 0, True)
    key = ids.parse(ids.BATCH, batch)
    view = await noon.run(lambda tx: batch_reading.retrieve(tx, noon.environment, key))
    assert len(set(view.runs)) == 1
    assert await payload(noon, view.runs[0]) == 2
    await noon.advance(seconds(5))
    await noon.release_due()
    (run,) = await noon.claim(worker)
    await noon.succeed(worker, run)
    view = await noon.run(lambda tx: batch_reading.retrieve(tx, noon.environment, key))
    assert view.status == "COMPLETED"


async def test_two_hundred_callers_of_a_hot_key_make_one_run(engine: Engine) -> None:
    option = five(delay="1h", mode="trailing")
    runs = await asyncio.gather(*(engine.trigger("t", n, debounce=option) for n in range(200)))
    assert len(set(runs)) == 1
    assert await engine.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == 1


async def test_a_push_waits_for_a_release_and_then_begins_another_run(engine: Engine) -> None:
    await engine.announce("t")
    first = await call(engine)
    await engine.advance(seconds(5))
    released, commit = asyncio.Event(), asyncio.Event()

    async def release() -> None:
        async def hold(tx: object) -> None:
            assert await upkeep.release_group(tx, engine.effects) == 1  # type: ignore[arg-type]
            released.set()
            await commit.wait()

        await engine.run(hold)

    releasing = asyncio.create_task(release())
    await released.wait()
    calling = asyncio.create_task(call(engine))
    await until_blocked(engine)
    commit.set()
    await releasing
    assert await calling != first
    assert await engine.status(first) == "QUEUED"


async def test_parked_run_takes_calls_until_its_task_is_known(noon: Engine) -> None:
    first = await call(noon)
    await noon.advance(seconds(5))
    await noon.release_due()
    assert await noon.status(first) == "PENDING_VERSION"
    await noon.advance(seconds(1))

    assert await call(noon, "late", debounce=five(mode="trailing")) == first

    assert (await noon.status(first), await due(noon, first)) == ("DELAYED", seconds(11))
    assert await payload(noon, first) == "late"
    await noon.advance(seconds(5))
    await noon.release_due()
    worker = await noon.announce("t")
    assert [run.run_id for run in await noon.claim(worker)] == [first]


async def test_calls_of_one_moment_that_are_not_held_are_all_made(noon: Engine) -> None:
    """One after the other each would make a run, for none finds another that is held; together they do as well."""
    await noon.announce("t")
    past = "2020-01-01T00:00:00Z"
    calls = [("t", request(number, debounce=five(), delay=past)) for number in range(2)]
    held = [("t", request(number, debounce=five(mode="trailing"))) for number in (2, 3)]

    made = await noon.trigger_many(*calls, *held, calls[0])

    runs = [one.run_id for one in made if isinstance(one, Triggered)]
    assert len(set(runs)) == 3
    assert runs[2] == runs[3] == runs[4]
    views = [await noon.retrieve(ids.show(ids.RUN, run)) for run in runs[:3]]
    assert [(view.status, bytes(view.payload)) for view in views] == [
        ("QUEUED", b"0"), ("QUEUED", b"1"), ("DELAYED", b"3"),
    ]  # fmt: skip
    assert await call(noon) == views[2].id


async def test_keys_without_a_held_run_are_dropped(noon: Engine) -> None:
    await noon.cancel(await call(noon))
    await call(noon, debounce=five(key="kept"))
    await noon.run(debouncing.forget_released)
    assert await noon.run(lambda tx: tx.fetchval("select string_agg(key, ',') from oncue.debounces")) == "kept"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (five(delay="2030-01-01"), r"options.debounce.delay: '2030-01-01' is not a length of time above zero"),
        (five(delay="0s"), r"options.debounce.delay: '0s' is not a length of time above zero"),
        (five(max_delay="soon"), r"options.debounce.maxDelay: 'soon' is not a length of time above zero"),
        (five(max_delay="5s"), r"options.debounce.maxDelay: found '5s'; expected more than the delay, '5s'"),
        (five(mode="both"), r"options.debounce.mode: found 'both'; expected one of leading, trailing"),
        (five(key=""), r"options.debounce.key has 0 characters; expected 1 to 512"),
        (five(key="x" * 513), r"options.debounce.key has 513 characters; expected 1 to 512"),
    ],
)
async def test_nonsense_is_refused_and_says_what_is_accepted(engine: Engine, option: DebounceOption, told: str) -> None:
    with pytest.raises(ApiError, match=told):
        await call(engine, debounce=option)


@pytest.mark.parametrize("named_by", ["request key", "run id"])
async def test_call_sent_again_after_release_means_the_same_run(noon: Engine, named_by: str) -> None:
    worker = await noon.announce("t")
    first = await call(noon)
    again = {"run_id": ids.new_run_id()} if named_by == "run id" else {}
    plan = {"request_key": "second"} if named_by == "request key" else {}
    sent = ("t", request("second", debounce=five(), **again))

    before = await noon.trigger_many(sent, **plan)
    await noon.advance(seconds(5))
    await noon.release_due()
    after = await noon.trigger_many(sent, **plan)

    assert before == after == [Triggered(ids.parse(ids.RUN, first))]
    assert [run.run_id for run in await noon.claim(worker)] == [first]
    assert await noon.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == 1
