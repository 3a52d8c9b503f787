"""Runs that nobody started in time end as EXPIRED."""

import datetime

import pytest

from oncue.engine import lifetimes
from oncue.engine.rows import Environment
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.triggers import BatchItem, TriggerOptions
from oncue.protocol.work import ChildFailed, RunSettled
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
