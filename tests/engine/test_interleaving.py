"""Two transactions at once: one is open while the other begins, and waits for it or must not mind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from oncue.engine import attempts, batch_creating, cancellation, claiming, recovery, requests, triggering
from oncue.engine.events import Effects
from oncue.protocol import ids
from oncue.protocol.errors import LeaseLost, UnprocessableRequest
from oncue.protocol.triggers import CreateBatchRequest
from oncue.protocol.work import Assignment, Succeeded
from oncue.store.pool import in_transaction, transaction
from tests.engine.conftest import NO_WAIT, Engine, declared, request, until_blocked

T = TypeVar("T")


async def begin(engine: Engine, call: Awaitable[T]) -> "asyncio.Task[T]":
    """Start a call that has to wait for the open transaction."""
    task = asyncio.ensure_future(call)
    await until_blocked(engine)
    return task


def waiting_options(parent: Assignment, worker: object, run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "parent_run_id": parent.run_id,
        "parent_epoch": parent.epoch,
        "parent_worker_id": ids.show(ids.WORKER, worker),  # type: ignore[arg-type]
        "resume_parent_on_completion": True,
        "call_key": "wait:child#1",
    }


async def test_wait_sent_again_while_the_first_is_under_way_counts_once(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    options = waiting_options(parent, worker, ids.new_run_id())

    async with transaction(engine.pool) as first:
        runs = [requests.plan("child", request(None, **options))]
        await triggering.trigger_many(first, engine.environment, runs, effects=Effects())
        again = await begin(engine, engine.trigger("child", **options))
    await again
    (child,) = await engine.claim(worker)
    await engine.succeed(worker, child)

    assert await engine.status(parent.run_id) == "EXECUTING"


async def test_batch_created_again_while_the_first_is_under_way_waits_once(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    asked = CreateBatchRequest(
        1,
        id=ids.new_batch_id(),
        parent_run_id=parent.run_id,
        parent_epoch=parent.epoch,
        parent_worker_id=ids.show(ids.WORKER, worker),
        resume_parent_on_completion=True,
        call_key="batch-wait:child#1",
    )

    async def create() -> object:
        return await engine.run(lambda tx: batch_creating.create(tx, engine.environment, asked, effects=Effects()))

    async with transaction(engine.pool) as first:
        await batch_creating.create(first, engine.environment, asked, effects=Effects())
        again = await begin(engine, create())
    await again

    left = await engine.run(lambda tx: tx.fetchval("select waits_left from oncue.live"))
    assert left == 1


async def test_same_request_twice_in_one_group_makes_one_run(engine: Engine) -> None:
    worker = await engine.announce("add")
    twice = [requests.plan("add", request(None), request_key="k") for _ in range(2)]
    minted = [requests.plan("add", request(None, run_id=ids.new_run_id()))] * 2

    keyed = await engine.run(lambda tx: triggering.trigger_many(tx, engine.environment, twice, effects=engine.effects))
    same = await engine.run(lambda tx: triggering.trigger_many(tx, engine.environment, minted, effects=engine.effects))

    assert keyed[0] == keyed[1]
    assert same[0] == same[1]
    assert len(await engine.claim(worker)) == 2


@pytest.mark.parametrize("order", ["stale first", "stale last"])
async def test_stale_call_beside_a_fresh_one_is_refused_alone(engine: Engine, order: str) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (old,) = await engine.claim(worker)
    await engine.hand_back(worker, old)
    (new,) = await engine.claim(worker)
    calls = [old, new] if order == "stale first" else [new, old]

    answers = await engine.trigger_many(
        *(
            (
                "child",
                request(
                    parent_run_id=call.run_id,
                    parent_epoch=call.epoch,
                    parent_worker_id=ids.show(ids.WORKER, worker),
                ),
            )
            for call in calls
        )
    )

    assert [isinstance(answer, LeaseLost) for answer in answers] == [call is old for call in calls]


async def test_environment_limit_holds_between_two_claimers(engine: Engine) -> None:
    await in_transaction(engine.pool, lambda tx: tx.execute("update oncue.environments set concurrency_limit = 1"))
    one, other = await engine.announce("t"), await engine.announce("t")
    for _ in range(4):
        await engine.trigger("t")

    async with transaction(engine.pool) as first:
        claimed = await claiming.claim(first, engine.environment, one, places=1, effects=Effects())
        waiting = await begin(engine, engine.claim(other, places=1))

    assert (len(claimed.runs), len(await waiting)) == (1, 0)


async def test_claim_that_outlives_its_server_is_taken_back(engine: Engine) -> None:
    worker = await engine.announce("t")
    run = await engine.trigger("t")

    async with transaction(engine.pool) as outliving:
        claimed = await claiming.claim(outliving, engine.environment, worker, places=1, effects=Effects())
        reclaiming = await begin(
            engine,
            engine.run(lambda tx: recovery.reclaim(tx, engine.environment, worker, holding=[], effects=engine.effects)),
        )

    assert (len(claimed.runs), await reclaiming) == (1, 1)
    assert await engine.status(run) == "QUEUED"


async def test_child_born_while_its_parent_is_cancelled_is_cancelled(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    options = waiting_options(parent, worker, ids.new_run_id())

    async with transaction(engine.pool) as birth:
        runs = [requests.plan("child", request(None, **options))]
        await triggering.trigger_many(birth, engine.environment, runs, effects=Effects())
        cancelling = await begin(engine, engine.cancel(parent.run_id))
    await cancelling

    assert await engine.status(options["run_id"]) == "CANCELED"


async def test_limit_declared_while_a_run_ends_leaks_no_slot(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q"))
    await engine.trigger("t")
    (run,) = await engine.claim(worker)

    async with transaction(engine.pool) as ending:
        outcome = [Succeeded(run.run_id, run.epoch, 1)]
        await attempts.report(ending, engine.environment, worker, outcome, effects=Effects())
        announcing = await begin(engine, engine.announce(declared("t", queue="q", concurrency_limit=1)))
    other = await announcing
    await engine.trigger("t")

    assert len(await engine.claim(other)) == 1


async def test_lane_made_while_its_limit_changes_has_the_new_one(engine: Engine) -> None:
    await engine.announce(declared("t", queue="q", concurrency_limit=5))
    await engine.trigger("t", concurrency_key="x")

    async with transaction(engine.pool) as deploy:
        await deploy.execute("select from oncue.queues where name = 'q' for update")
        await deploy.execute("update oncue.queues set code_limit = 1 where name = 'q'")
        triggering_ = await begin(engine, engine.trigger("t", concurrency_key="y"))
    await triggering_

    slots = await engine.run(lambda tx: tx.fetchval("select slots from oncue.lanes where concurrency_key = 'y'"))
    assert slots == 1


async def test_lifted_limit_lets_resuming_parents_go_on(engine: Engine) -> None:
    worker = await engine.announce(declared("parent", queue="q", concurrency_limit=1), "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    await engine.trigger("parent")
    claimed = await engine.claim(worker)
    await engine.succeed(worker, next(run for run in claimed if run.task == "child"))
    held = await engine.status(parent.run_id)

    await engine.announce(declared("parent", queue="q", concurrency_limit=None))
    (notice,) = await engine.notices(worker)

    assert held == "WAITING"
    assert notice.run_id == parent.run_id
    assert await engine.status(parent.run_id) == "EXECUTING"


@pytest.mark.parametrize("ended", [True, False])
async def test_parent_can_wait_for_a_run_that_was_there_before(engine: Engine, *, ended: bool) -> None:
    worker = await engine.announce("parent", "child")
    child_id = await engine.trigger("child")
    (child,) = await engine.claim(worker)
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    if ended:
        await engine.succeed(worker, child)

    await engine.trigger("child", **waiting_options(parent, worker, child_id))
    waited = await engine.status(parent.run_id)
    if not ended:
        await engine.succeed(worker, child)
    (notice,) = await engine.notices(worker)

    assert waited == ("EXECUTING" if ended else "WAITING")
    assert notice.run_id == parent.run_id
    assert await engine.status(parent.run_id) == "EXECUTING"


async def test_cancel_and_completion_of_one_run_have_one_winner(engine: Engine) -> None:
    worker = await engine.announce("t")
    run = await engine.trigger("t")
    (assignment,) = await engine.claim(worker)

    async with transaction(engine.pool) as cancelling:
        await cancellation.cancel(cancelling, engine.environment, [ids.parse(ids.RUN, run)], effects=Effects())
        reporting = await begin(engine, engine.succeed(worker, assignment))

    assert await reporting == [run]
    assert await engine.status(run) == "CANCELED"


@pytest.mark.parametrize(
    "delay", ["999999999d", "99999999999999h", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-10:00", "200000w"]
)
async def test_delay_beyond_all_calendars_is_refused_by_name(engine: Engine, delay: str) -> None:
    with pytest.raises(UnprocessableRequest, match=r"options\.delay"):
        await engine.trigger("t", delay=delay)


@pytest.mark.parametrize("ending", ["success", "failure", "retry", "hand back", "cancellation"])
async def test_ending_that_waits_for_another_caller_is_recorded_whole(engine: Engine, ending: str) -> None:
    """Somebody begins to wait for runs while their outcomes are on the way.

    Their rows are being changed as the outcomes arrive, so PostgreSQL looks at them once more before they go; what is
    written of them elsewhere in the same statement must not be left out for that.
    """
    worker = await engine.announce(declared("t", retry=NO_WAIT))
    for _ in range(3):
        await engine.trigger("t", max_attempts=1 if ending == "failure" else None)
    runs = await engine.claim(worker)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "success": lambda: engine.succeed(worker, *runs),
        "failure": lambda: engine.fail_all(worker, *runs),
        "retry": lambda: engine.fail_all(worker, *runs),
        "hand back": lambda: engine.hand_back(worker, *runs),
        "cancellation": lambda: engine.cancel(*(run.run_id for run in runs)),
    }

    async with transaction(engine.pool) as caller:
        await caller.execute(
            "update oncue.live set awaited = true where run_id = $1", ids.parse(ids.RUN, runs[1].run_id)
        )
        ended = await begin(engine, calls[ending]())
    assert await ended in ([], None)

    shown = {"success": "COMPLETED", "failure": "FAILED", "retry": "EXECUTING", "hand back": "QUEUED"}
    views = [await engine.retrieve(run.run_id) for run in runs]
    assert {view.status for view in views} == {shown.get(ending, "CANCELED")}
    computed = {"success": 5, "failure": 5, "retry": 5}
    assert [view.duration_ms for view in views] == [computed.get(ending, 0)] * 3
    stands = {row["status"] for row in await engine.pool.fetch("select status::text from oncue.live")}
    assert stands == {"retry": {"RETRYING_AFTER_FAILURE"}, "hand back": {"PENDING"}}.get(ending, set())
    assert await engine.violations() == 0
