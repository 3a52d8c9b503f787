"""Runs that nobody started in time end as EXPIRED."""

import datetime

import pytest

from oncue.engine import batch_reading, lifetimes
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.triggers import BatchItem, TriggerOptions
from oncue.protocol.work import BatchSettled, ChildFailed, ChildSucceeded, RunSettled
from tests.engine.conftest import Engine, declared

DEV = Environment(1, "dev", "DEVELOPMENT")
PROD = Environment(2, "prod", "PRODUCTION")
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
NONE = datetime.timedelta()


@pytest.mark.parametrize(
    ("environment", "option", "task", "expected"),
    [
        (DEV, None, None, 10 * MINUTE),
        (DEV, None, 3 * MINUTE, 3 * MINUTE),
        (DEV, 2 * MINUTE, 3 * MINUTE, 2 * MINUTE),
        (DEV, NONE, 3 * MINUTE, None),
        (DEV, None, NONE, None),
        (DEV, 30 * DAY, None, 30 * DAY),
        (PROD, None, None, 14 * DAY),
        (PROD, None, 3 * MINUTE, 3 * MINUTE),
        (PROD, 2 * MINUTE, 3 * MINUTE, 2 * MINUTE),
        (PROD, NONE, 3 * MINUTE, 14 * DAY),
        (PROD, 30 * DAY, None, 14 * DAY),
    ],
)
def test_ttl_is_the_options_then_the_tasks_then_the_environments(
    environment: Environment,
    option: datetime.timedelta | None,
    task: datetime.timedelta | None,
    expected: datetime.timedelta | None,
) -> None:
    assert lifetimes.effective(environment, option, task) == expected


async def test_the_ttl_that_counts_is_shown_with_the_run(engine: Engine, production: Engine) -> None:
    shown: dict[str, list[str | None]] = {}
    for each in (engine, production):
        await each.announce("t", declared("own", ttl_ms=180_000), declared("endless", ttl_ms=0))
        runs = [
            await each.trigger("t"),
            await each.trigger("own"),
            await each.trigger("own", ttl="2m"),
            await each.trigger("own", ttl=0),
            await each.trigger("endless"),
            await each.trigger("own", ttl="30d"),
            await each.trigger("own", ttl=45, delay="1h"),
        ]
        shown[each.environment.kind] = [(await each.retrieve(run)).ttl for run in runs]

    assert shown == {
        "DEVELOPMENT": ["10m", "3m", "2m", None, None, "4w2d", "45s"],
        "PRODUCTION": ["2w", "3m", "2m", "2w", "2w", "2w", "45s"],
    }


async def test_a_run_in_line_expires_and_says_why(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", ttl="90s")
    other = await engine.trigger("t", ttl=3600)
    await engine.advance(89 * datetime.timedelta(seconds=1))
    assert await engine.expire_due() == 0
    await engine.advance(datetime.timedelta(seconds=1))
    assert await engine.expire_due() == 1
    view = await engine.retrieve(run)
    assert view.status == "EXPIRED"
    assert view.expired_at == view.finished_at == engine.moment
    assert view.error is not None
    assert view.error.message == "Run expired because the TTL (1m30s) was reached"
    assert view.started_at is None
    claimed = await engine.claim(await engine.announce("t"))
    assert [assignment.run_id for assignment in claimed] == [other]


async def test_the_clock_starts_when_a_delayed_run_lines_up(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", ttl="1m", delay="1h")
    await engine.advance(59 * MINUTE)
    assert await engine.expire_due() == 0
    await engine.advance(5 * MINUTE)
    assert await engine.expire_due() == 0
    await engine.release_due()
    assert await engine.status(run) == "QUEUED"
    await engine.advance(MINUTE)
    assert await engine.expire_due() == 1


async def test_a_parked_runs_clock_starts_when_its_task_is_announced(engine: Engine) -> None:
    by_option = await engine.trigger("t", ttl="1m")
    by_task = await engine.trigger("t")
    await engine.advance(DAY)
    assert await engine.expire_due() == 0
    await engine.announce(declared("t", ttl_ms=120_000))
    await engine.advance(MINUTE)
    assert await engine.expire_due() == 1
    assert await engine.status(by_option) == "EXPIRED"
    await engine.advance(MINUTE)
    assert await engine.expire_due() == 1
    assert await engine.status(by_task) == "EXPIRED"


async def test_the_first_start_stops_the_clock_for_good(engine: Engine) -> None:
    now = RetryPolicy(max_attempts=3, min_timeout_ms=0, max_timeout_ms=0, randomize=False)
    worker = await engine.announce(declared("t", retry=now))
    await engine.trigger("t", ttl="1m")
    (run,) = await engine.claim(worker)
    await engine.advance(2 * MINUTE)
    await engine.fail(worker, run)
    await engine.release_due()
    await engine.advance(DAY)
    assert await engine.expire_due() == 0
    worker = await engine.announce(declared("t", retry=now))
    (again,) = await engine.claim(worker)
    await engine.hand_back(worker, again)
    await engine.advance(DAY)
    assert await engine.expire_due() == 0


async def test_a_resumed_or_recovered_run_does_not_expire(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1), "child")
    parent_id = await engine.trigger("t", ttl="1m")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child", ttl=0)
    other = await engine.trigger("t", ttl=0)
    claimed = {run.task: run for run in await engine.claim(worker)}
    await engine.advance(MINUTE)
    parked = await engine.expire_due()
    await engine.succeed(worker, claimed["child"])
    # Its wait is over, and its slot is taken.
    waiting = (await engine.expire_due(), await engine.status(parent_id))
    await engine.succeed(worker, claimed["t"])
    resumed = await engine.status(parent_id)
    await engine.recover()
    await engine.advance(DAY)

    assert (parked, waiting, resumed) == (0, (0, "WAITING"), "EXECUTING")
    assert await engine.status(parent_id) == "QUEUED"
    assert await engine.expire_due() == 0
    assert await engine.status(other) == "COMPLETED"
    worker = await engine.announce("t")
    (again,) = await engine.claim(worker)
    assert again.run_id == parent_id


async def test_a_waiting_parent_hears_that_its_child_expired(engine: Engine) -> None:
    worker = await engine.announce("parent", "child", queues=None)
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child = await engine.wait_for(parent, worker, "child", ttl="1m")
    assert await engine.status(parent.run_id) == "WAITING"
    await engine.advance(MINUTE)
    await engine.expire_due()
    (notice,) = await engine.notices(worker)
    assert isinstance(notice, RunSettled)
    assert notice.resumes
    assert notice.child.id == child
    assert isinstance(notice.child, ChildFailed)
    assert "TTL (1m) was reached" in str(notice.child.error)
    assert await engine.status(parent.run_id) == "EXECUTING"


async def test_a_parent_of_a_batch_hears_which_items_expired(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    batch = await engine.create_batch(
        2,
        parent_run_id=parent.run_id,
        parent_epoch=parent.epoch,
        parent_worker_id=ids.show(ids.WORKER, worker),
        resume_parent_on_completion=True,
    )
    options = [TriggerOptions(ttl="1h"), TriggerOptions(ttl="1m")]
    await engine.fill_batch(batch, *(BatchItem(index, "t", options=each) for index, each in enumerate(options)))
    (first,) = await engine.claim(worker, 1)
    await engine.succeed(worker, first, output=b"1")

    await engine.advance(MINUTE)
    assert await engine.expire_due() == 1
    (notice,) = await engine.notices(worker)
    key = ids.parse(ids.BATCH, batch)
    results = await engine.run(lambda tx: batch_reading.read_results(tx, engine.environment, key, after=0, limit=100))

    assert isinstance(notice, BatchSettled)
    assert (notice.run_id, notice.batch_id, notice.resumes) == (parent.run_id, batch, True)
    assert await engine.status(parent.run_id) == "EXECUTING"
    done, expired = results
    assert isinstance(done, ChildSucceeded)
    assert isinstance(expired, ChildFailed)
    assert "Run expired because the TTL (1m) was reached" in str(expired.error)


async def test_expired_runs_of_a_batch_count_as_ended(engine: Engine) -> None:
    await engine.announce("t")
    batch = await engine.create_batch(2)
    await engine.fill_batch(batch, *(BatchItem(index, "t", options=TriggerOptions(ttl="1m")) for index in range(2)))
    await engine.advance(MINUTE)
    assert await engine.expire_due() == 2
    finished = await engine.run(lambda tx: tx.fetchval("select finished_at from oncue.batches"))
    assert finished == engine.moment


async def test_outside_development_every_run_has_an_end(production: Engine) -> None:
    await production.announce("t", environment=production.environment)
    run = await production.trigger("t")
    await production.advance(14 * DAY)
    assert await production.expire_due() == 1
    assert await production.status(run) == "EXPIRED"


@pytest.mark.parametrize("ttl", ["soon", "-1m", -5, "1.5h", ""])
async def test_a_ttl_that_is_no_length_of_time_is_refused(engine: Engine, ttl: object) -> None:
    with pytest.raises(Exception, match=r"options.ttl: .* is not a length of time; expected"):
        await engine.trigger("t", ttl=ttl)
