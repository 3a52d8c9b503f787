"""A run can be cancelled whatever it is doing, and takes all that it triggered with it."""

import datetime
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from oncue.engine import batch_reading, waitpoints
from oncue.protocol import ids
from oncue.protocol.errors import CallerCancelled, LeaseLost
from oncue.protocol.failures import BuiltInError
from oncue.protocol.triggers import BatchItem, TriggerOptions, TriggerRequest
from oncue.protocol.work import Assignment, BatchSettled, ChildFailed, RunSettled, StopRun, WaitRequest
from tests.engine.conftest import NO_WAIT, Engine, declared

Reach = Callable[[Engine, uuid.UUID], Awaitable[str]]
"""Brings a run into a state, and returns it."""


@pytest.fixture
async def worker(engine: Engine) -> uuid.UUID:
    """A worker for one run of task ``t`` at a time; task ``child`` is known, and claimed by nobody."""
    await engine.announce("child")
    return await engine.announce(declared("t", queue="q", concurrency_limit=1, retry=NO_WAIT))


async def start(engine: Engine, worker: uuid.UUID, task: str = "t") -> Assignment:
    await engine.trigger(task)
    (run,) = await engine.claim(worker)
    return run


def inside(run: Assignment, worker: uuid.UUID) -> dict[str, Any]:
    return {
        "parent_run_id": run.run_id,
        "parent_epoch": run.epoch,
        "parent_worker_id": ids.show(ids.WORKER, worker),
    }


def item(run: Assignment, worker: uuid.UUID, index: int, **options: Any) -> BatchItem:
    return BatchItem(index, "child", options=TriggerOptions(**inside(run, worker), **options))


async def delayed(engine: Engine, _: uuid.UUID) -> str:
    return await engine.trigger("t", delay="1h")


async def parked(engine: Engine, _: uuid.UUID) -> str:
    return await engine.trigger("unknown")


async def queued(engine: Engine, _: uuid.UUID) -> str:
    return await engine.trigger("t")


async def executing(engine: Engine, worker: uuid.UUID) -> str:
    return (await start(engine, worker)).run_id


async def waiting_for_a_child(engine: Engine, worker: uuid.UUID) -> str:
    run = await start(engine, worker)
    await engine.wait_for(run, worker, "child")
    return run.run_id


async def waiting_for_a_batch(engine: Engine, worker: uuid.UUID) -> str:
    run = await start(engine, worker)
    batch = await engine.create_batch(2, resume_parent_on_completion=True, **inside(run, worker))
    await engine.fill_batch(batch, item(run, worker, 0), item(run, worker, 1))
    return run.run_id


async def waiting_for_a_moment(engine: Engine, worker: uuid.UUID) -> str:
    run = await start(engine, worker)
    asked = WaitRequest(**inside(run, worker), delay_ms=60_000)
    await engine.run(lambda tx: waitpoints.wait(tx, engine.environment, asked, effects=engine.effects))
    return run.run_id


async def waiting_for_its_slot(engine: Engine, worker: uuid.UUID) -> str:
    run = await start(engine, worker)
    child = await engine.wait_for(run, worker, "child")
    await start(engine, worker)
    await engine.cancel(child)
    assert await engine.notices(worker) == []
    return run.run_id


async def between_attempts(engine: Engine, worker: uuid.UUID) -> str:
    run = await start(engine, worker)
    await engine.fail(worker, run, retry_after_ms=60_000)
    return run.run_id


@pytest.mark.parametrize(
    ("reach", "status", "is_told"),
    [
        (delayed, "DELAYED", False),
        (parked, "PENDING_VERSION", False),
        (queued, "QUEUED", False),
        (executing, "EXECUTING", True),
        (waiting_for_a_child, "WAITING", True),
        (waiting_for_a_batch, "WAITING", True),
        (waiting_for_a_moment, "WAITING", True),
        (waiting_for_its_slot, "WAITING", True),
        (between_attempts, "EXECUTING", False),
    ],
)
async def test_run_can_be_cancelled_in_every_state(
    engine: Engine, worker: uuid.UUID, reach: Reach, status: str, is_told: bool
) -> None:
    run = await reach(engine, worker)
    before = await engine.retrieve(run)

    await engine.cancel(run)
    after = await engine.retrieve(run)
    told = await engine.notices(worker)
    await engine.advance(datetime.timedelta(hours=2))
    await engine.release_due()
    await engine.run(lambda tx: waitpoints.settle_due(tx, engine.effects))
    await engine.announce("unknown")

    assert (before.status, after.status) == (status, "CANCELED")
    assert after.error is not None
    assert after.error.message == "Canceled by user"
    assert after.finished_at is not None
    assert {child.status for child in after.related_runs.children or []} <= {"CANCELED"}
    assert [(type(notice), notice.run_id) for notice in told] == ([(StopRun, run)] if is_told else [])
    # Whatever it waited for, nothing brings it back.
    assert await engine.status(run) == "CANCELED"
    assert await engine.run(lambda tx: tx.fetchval("select count(*) from oncue.waits")) == 0


@pytest.mark.parametrize("ending", ["COMPLETED", "FAILED", "EXPIRED", "CANCELED"])
async def test_run_that_has_ended_stays_as_it_is(engine: Engine, worker: uuid.UUID, ending: str) -> None:
    run = await engine.trigger("t", max_attempts=1, ttl="1m")
    if ending == "EXPIRED":
        await engine.advance(datetime.timedelta(minutes=1))
        await engine.expire_due()
    elif ending == "CANCELED":
        await engine.cancel(run)
    else:
        (claimed,) = await engine.claim(worker)
        await (engine.succeed if ending == "COMPLETED" else engine.fail)(worker, claimed)
    before = await engine.retrieve(run)

    await engine.advance(datetime.timedelta(seconds=1))
    await engine.cancel(run)

    assert before.status == ending
    assert await engine.retrieve(run) == before
    assert await engine.notices(worker) == []


async def test_family_of_a_cancelled_run_ends_at_any_depth(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=2, retry=NO_WAIT), "child")
    generations = [await start(engine, worker)]
    for _ in range(3):
        await engine.wait_for(generations[-1], worker, "child")
        generations += await engine.claim(worker)
    root, deepest = generations[0], generations[-1]
    below = [
        await engine.child(deepest, worker, "t", delay="1h"),
        await engine.child(deepest, worker, "unknown"),
        await engine.child(deepest, worker, "child"),
    ]
    retrying = await engine.child(deepest, worker, "t")
    claimed = {run.run_id: run for run in await engine.claim(worker)}
    await engine.fail(worker, claimed[retrying], retry_after_ms=60_000)
    batch = await engine.create_batch(2, resume_parent_on_completion=True, **inside(deepest, worker))
    await engine.fill_batch(batch, item(deepest, worker, 0), item(deepest, worker, 1, delay="1h"))
    stranger = await engine.trigger("child")

    await engine.cancel(root.run_id)
    told = await engine.notices(worker)

    left = await engine.run(lambda tx: tx.fetch("select run_id from oncue.live"))
    assert [ids.show(ids.RUN, row["run_id"]) for row in left] == [stranger]
    assert {await engine.status(run) for run in (*below, retrying)} == {"CANCELED"}
    held = {run.run_id for run in generations} | (set(claimed) - {retrying})
    assert {(type(notice), notice.run_id) for notice in told} == {(StopRun, run) for run in held}


async def test_parents_go_on_when_a_run_between_them_is_cancelled(engine: Engine) -> None:
    worker = await engine.announce("t", "child")
    root = await start(engine, worker)
    middle_id = await engine.wait_for(root, worker, "child")
    (middle,) = await engine.claim(worker)
    lowest = await engine.wait_for(middle, worker, "child")

    await engine.cancel(middle_id)
    settled = [notice for notice in await engine.notices(worker) if isinstance(notice, RunSettled)]

    assert [(notice.run_id, notice.resumes) for notice in settled] == [(root.run_id, True)]
    error = BuiltInError("TaskRunCancelledError", "Canceled by user")
    assert settled[0].child == ChildFailed(middle_id, "child", error)
    assert await engine.status(root.run_id) == "EXECUTING"
    assert await engine.status(lowest) == "CANCELED"
    assert await engine.succeed(worker, root) == []


async def test_parent_of_a_batch_goes_on_when_its_items_are_cancelled(engine: Engine) -> None:
    worker = await engine.announce("t")
    parent_id = await waiting_for_a_batch(engine, worker)
    first, second = [child.id for child in (await engine.retrieve(parent_id)).related_runs.children or []]

    await engine.cancel(first)
    early = await engine.notices(worker)
    await engine.cancel(second)
    (notice,) = await engine.notices(worker)
    assert isinstance(notice, BatchSettled)
    batch = ids.parse(ids.BATCH, notice.batch_id)
    results = await engine.run(lambda tx: batch_reading.read_results(tx, engine.environment, batch, after=0, limit=100))

    assert early == []
    assert (notice.run_id, notice.resumes, notice.aborted) == (parent_id, True, None)
    error = BuiltInError("TaskRunCancelledError", "Canceled by user")
    assert results == [ChildFailed(run, "child", error) for run in (first, second)]
    assert await engine.status(parent_id) == "EXECUTING"


async def test_call_of_a_cancelled_run_is_told_so(engine: Engine, worker: uuid.UUID) -> None:
    run = await start(engine, worker)
    await engine.cancel(run.run_id)

    with pytest.raises(CallerCancelled, match="was cancelled"):
        await engine.child(run, worker, "child")
    batch_item = msgspec.structs.replace(item(run, worker, 0).options, parent_run_id=run.run_id)
    (refused,) = await engine.trigger_many(("child", TriggerRequest(options=batch_item)))
    assert isinstance(refused, CallerCancelled)


async def test_call_of_a_lost_execution_is_not_taken_for_cancelled(engine: Engine, worker: uuid.UUID) -> None:
    run = await start(engine, worker)
    await engine.hand_back(worker, run)

    with pytest.raises(LeaseLost) as raised:
        await engine.child(run, worker, "child")
    assert not isinstance(raised.value, CallerCancelled)
