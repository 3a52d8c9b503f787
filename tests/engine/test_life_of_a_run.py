import asyncio
import datetime

import pytest

from oncue.engine import claiming, environments, reading, recovery, replaying, workers
from oncue.engine.reading import RunQuery
from oncue.protocol import ids
from oncue.protocol.errors import LeaseLost, NotFound
from oncue.protocol.failures import BuiltInError, StringError
from oncue.protocol.runs import ReplayRequest, ReplayResponse
from oncue.protocol.work import ChildFailed, ChildSucceeded, RunSettled
from oncue.store.pool import in_transaction, transaction
from tests.engine.conftest import LEASE, NO_WAIT, Engine, declared, request, until_blocked


async def test_triggered_run_is_claimed_executed_and_completed(engine: Engine) -> None:
    worker = await engine.announce("add")
    run = await engine.trigger("add", {"a": 1}, tags=["x", "y"], priority=3)

    (assignment,) = await engine.claim(worker)
    executing = await engine.status(run)
    lost = await engine.succeed(worker, assignment, output=b'{"sum":1}')
    view = await engine.retrieve(run)

    assert (assignment.run_id, assignment.epoch, assignment.attempt) == (run, 1, 1)
    assert bytes(assignment.payload) == b'{"a":1}'
    assert executing == "EXECUTING"
    assert lost == []
    assert (view.status, bytes(view.output), view.tags, view.priority) == ("COMPLETED", b'{"sum":1}', ["x", "y"], 3)
    assert (view.is_completed, view.is_success, view.attempt_count, view.duration_ms) == (True, True, 1, 5)


async def test_same_run_id_sent_twice_makes_one_run(engine: Engine) -> None:
    worker = await engine.announce("add")
    minted = ids.new_run_id()

    first = await engine.trigger("add", run_id=minted)
    second = await engine.trigger("add", run_id=minted)

    assert first == second == minted
    assert len(await engine.claim(worker)) == 1


async def test_same_request_key_sent_twice_makes_one_run(engine: Engine) -> None:
    worker = await engine.announce("add")

    first = await engine.trigger_many(("add", request(1)), request_key="abc")
    second = await engine.trigger_many(("add", request(1)), request_key="abc")

    assert first == second
    assert len(await engine.claim(worker)) == 1


async def test_unknown_task_waits_until_a_worker_announces_it(engine: Engine) -> None:
    run = await engine.trigger("later", queue="shared", concurrency_key="k")
    before = await engine.status(run)

    worker = await engine.announce("later")
    (assignment,) = await engine.claim(worker)

    assert before == "PENDING_VERSION"
    assert (assignment.run_id, assignment.queue, assignment.concurrency_key) == (run, "shared", "k")


@pytest.mark.parametrize("options", [{}, {"delay": "1m"}], ids=["now", "delayed"])
async def test_run_ahead_of_its_task_gets_what_the_task_declares(engine: Engine, options: dict[str, str]) -> None:
    silent = await engine.trigger("later", **options)
    saying = await engine.trigger("later", queue="task/later", machine="micro", ttl="1h", **options)
    again = replaying.plan(ids.parse(ids.RUN, silent), ReplayRequest())
    (copy,) = await engine.run(lambda tx: replaying.replay(tx, engine.environment, [again], effects=engine.effects))
    assert isinstance(copy, ReplayResponse)
    await engine.advance(datetime.timedelta(minutes=1))
    await engine.release_due()

    await engine.announce(declared("later", queue="shared", machine="large-1x", ttl_ms=5_000))

    views = {run: await engine.retrieve(run) for run in (silent, saying, copy.id)}
    assert {(view.queue, view.machine, view.ttl) for run, view in views.items() if run != saying} == {
        ("shared", "large-1x", "5s")
    }
    assert (views[saying].queue, views[saying].machine, views[saying].ttl) == ("task/later", "micro", "1h")
    assert await engine.violations() == 0


async def test_failed_attempt_is_retried_until_none_is_left(engine: Engine) -> None:
    worker = await engine.announce(declared("flaky", retry=NO_WAIT))
    run = await engine.trigger("flaky")

    seen = []
    for _ in range(3):
        (assignment,) = await engine.claim(worker)
        seen.append((assignment.attempt, assignment.epoch))
        await engine.fail(worker, assignment)
        await engine.release_due()
    view = await engine.retrieve(run)

    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert (view.status, view.attempt_count, view.duration_ms) == ("FAILED", 3, 15)
    assert view.error is not None
    assert (view.error.name, view.error.message) == ("ValueError", "no")


async def test_failure_marked_final_is_not_retried(engine: Engine) -> None:
    worker = await engine.announce(declared("flaky", retry=NO_WAIT))
    run = await engine.trigger("flaky")

    (assignment,) = await engine.claim(worker)
    await engine.fail(worker, assignment, retryable=False)

    assert await engine.status(run) == "FAILED"


async def test_retry_waits_as_long_as_the_task_asked(engine: Engine) -> None:
    worker = await engine.announce(declared("flaky", retry=NO_WAIT))
    run = await engine.trigger("flaky")
    (assignment,) = await engine.claim(worker)

    await engine.fail(worker, assignment, retry_after_ms=60_000)
    await engine.release_due()
    too_early = await engine.claim(worker)
    await engine.advance(datetime.timedelta(seconds=61))
    await engine.release_due()
    # The lease of the test's worker ran out with the jump in time.
    other = await engine.announce("flaky")
    (again,) = await engine.claim(other)

    assert too_early == []
    assert (again.run_id, again.attempt) == (run, 2)


async def test_delayed_run_starts_at_its_time_and_not_before(engine: Engine) -> None:
    run = await engine.trigger("add", delay="1h")
    await engine.announce("add")
    early = await engine.status(run)

    await engine.release_due()
    still = await engine.status(run)
    await engine.advance(datetime.timedelta(hours=1, seconds=1))
    await engine.release_due()
    worker = await engine.announce("add")
    (assignment,) = await engine.claim(worker)

    assert (early, still, assignment.run_id) == ("DELAYED", "DELAYED", run)


async def test_parent_waits_without_a_slot_and_resumes(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    parent_id = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)

    child_id = await engine.wait_for(parent, worker, "child")
    waiting = await engine.status(parent_id)
    (child,) = await engine.claim(worker)
    await engine.succeed(worker, child, output=b"7")
    (notice,) = await engine.notices(worker)
    resumed = await engine.status(parent_id)
    lost = await engine.succeed(worker, parent)

    assert waiting == "WAITING"
    assert isinstance(notice, RunSettled)
    assert isinstance(notice.child, ChildSucceeded)
    assert (notice.run_id, notice.child.id, bytes(notice.child.output), notice.resumes) == (
        parent_id,
        child_id,
        b"7",
        True,
    )
    assert resumed == "EXECUTING"
    assert lost == []
    assert await engine.notices(worker, acknowledged=[notice.notice_id]) == []


async def test_notice_is_told_again_until_acknowledged(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    await engine.succeed(worker, child)

    first = await engine.notices(worker)
    second = await engine.notices(worker)

    assert first == second
    assert len(first) == 1


async def test_failed_child_is_told_to_its_parent(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)

    await engine.fail(worker, child)
    (notice,) = await engine.notices(worker)

    assert isinstance(notice, RunSettled)
    assert notice.child == ChildFailed(child.run_id, "child", BuiltInError("ValueError", "no"))


async def test_two_parallel_waits_resume_after_the_second(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    parent_id = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child", call_key="wait:child#1")
    await engine.wait_for(parent, worker, "child", call_key="wait:child#2")
    first, second = await engine.claim(worker)

    await engine.succeed(worker, first)
    (early,) = await engine.notices(worker)
    between = await engine.status(parent_id)
    await engine.succeed(worker, second)
    _, late = await engine.notices(worker)

    assert isinstance(early, RunSettled)
    assert isinstance(late, RunSettled)
    assert (early.resumes, between, late.resumes) == (False, "WAITING", True)
    assert await engine.status(parent_id) == "EXECUTING"


async def test_wait_request_sent_again_counts_once(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    parent_id = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    minted = ids.new_run_id()

    for _ in range(2):
        await engine.wait_for(parent, worker, "child", run_id=minted, call_key="wait:child#1")
    (child,) = await engine.claim(worker)
    await engine.succeed(worker, child)
    await engine.wait_for(parent, worker, "child", run_id=minted, call_key="wait:child#1")

    assert await engine.status(parent_id) == "EXECUTING"


async def test_stale_execution_can_neither_trigger_nor_report(engine: Engine) -> None:
    first = await engine.announce("parent", "child")
    run = await engine.trigger("parent")
    (old,) = await engine.claim(first)
    await engine.advance(LEASE + datetime.timedelta(seconds=1))
    await engine.recover()
    second = await engine.announce("parent")
    (new,) = await engine.claim(second)

    with pytest.raises(LeaseLost):
        await engine.wait_for(old, first, "child")
    with pytest.raises(LeaseLost):
        await engine.child(old, first, "child")
    with pytest.raises(LeaseLost):
        await engine.claim(first)
    lost = await engine.succeed(first, old)

    assert lost == [run]
    assert (new.run_id, new.epoch, new.attempt) == (run, 2, 1)
    assert await engine.succeed(second, new) == []


async def test_outcome_sent_again_is_not_called_lost(engine: Engine) -> None:
    worker = await engine.announce("add")
    await engine.trigger("add")
    (assignment,) = await engine.claim(worker)

    await engine.succeed(worker, assignment)

    assert await engine.succeed(worker, assignment) == []


async def test_run_that_loses_its_worker_again_and_again_crashes(engine: Engine) -> None:
    run = await engine.trigger("killer")

    for _ in range(6):
        worker = await engine.announce("killer")
        assert len(await engine.claim(worker)) == 1
        await engine.advance(LEASE + datetime.timedelta(seconds=1))
        await engine.recover()
    view = await engine.retrieve(run)

    assert view.status == "CRASHED"
    assert view.error is not None
    assert "6 times" in view.error.message


async def test_run_in_a_lost_answer_goes_back_in_line(engine: Engine) -> None:
    worker = await engine.announce(declared("add", queue="q", concurrency_limit=2))
    for _ in range(3):
        await engine.trigger("add")
    known, _ = await engine.claim(worker)

    holding = [ids.parse(ids.RUN, known.run_id)]
    reclaimed = await engine.run(
        lambda tx: recovery.reclaim(tx, engine.environment, worker, holding=holding, effects=engine.effects)
    )
    again = await engine.claim(worker)

    assert (reclaimed, len(again)) == (1, 1)
    assert again[0].attempt == 1
    assert await engine.succeed(worker, known, *again) == []


async def test_claim_under_way_while_its_worker_leaves_loses_no_run(engine: Engine) -> None:
    worker = await engine.announce("add")
    run = await engine.trigger("add")

    async with transaction(engine.pool) as tx:
        claimed = await claiming.claim(tx, engine.environment, worker, places=1, effects=engine.effects)
        leaving = asyncio.create_task(
            engine.run(lambda tx: workers.leave(tx, engine.environment, worker, effects=engine.effects))
        )
        await until_blocked(engine)
    await leaving

    assert len(claimed.runs) == 1
    assert await engine.status(run) == "QUEUED"


async def test_run_held_by_a_worker_that_is_gone_is_found(engine: Engine) -> None:
    worker = await engine.announce("add")
    run = await engine.trigger("add")
    await engine.claim(worker)
    await in_transaction(engine.pool, lambda tx: tx.execute("delete from oncue.workers"))

    found = await engine.run(lambda tx: recovery.recover_orphans(tx, engine.environment, effects=engine.effects))

    assert found == 1
    assert await engine.status(run) == "QUEUED"
    assert ("invariant.violated", "live.worker_id") in [(name, f.get("what")) for name, f in engine.effects.told]


async def test_handed_back_run_costs_no_attempt(engine: Engine) -> None:
    worker = await engine.announce("add")
    await engine.trigger("add")
    (assignment,) = await engine.claim(worker)

    await engine.hand_back(worker, assignment)
    (again,) = await engine.claim(worker)

    assert (again.attempt, again.epoch) == (1, 2)


async def test_parent_hears_that_its_child_was_cancelled(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child = await engine.wait_for(parent, worker, "child")

    await engine.cancel(child)
    (notice,) = await engine.notices(worker)

    assert isinstance(notice, RunSettled)
    assert isinstance(notice.child, ChildFailed)
    assert not isinstance(notice.child.error, StringError)


async def test_other_environment_sees_nothing_of_a_run(engine: Engine) -> None:
    run = await engine.trigger("add")
    _, prod = await in_transaction(engine.pool, environments.ensure_default_project)
    engine.environment = prod
    worker = await engine.announce("add")

    with pytest.raises(NotFound):
        await engine.retrieve(run)
    with pytest.raises(NotFound):
        await engine.cancel(run)
    assert await engine.claim(worker) == []
    page = await engine.run(lambda tx: reading.list_runs(tx, prod, RunQuery()))
    assert page.data == []


async def test_list_pages_newest_first_in_both_directions(engine: Engine) -> None:
    runs = [await engine.trigger("add", tags=["odd"] if n % 2 else None) for n in range(7)]
    newest = runs[::-1]

    async def page(**query: object) -> tuple[list[str], str | None, str | None]:
        got = await engine.run(lambda tx: reading.list_runs(tx, engine.environment, RunQuery(**query)))  # type: ignore[arg-type]
        return [run.id for run in got.data], got.pagination.next, got.pagination.previous

    first, after, none = await page(size=3)
    assert after is not None
    second, _, before = await page(size=3, after=ids.parse(ids.RUN, after))
    assert before is not None
    back, _, _ = await page(size=3, before=ids.parse(ids.RUN, before))
    odd, _, _ = await page(tags=["odd"])
    queued, _, _ = await page(statuses=["PENDING_VERSION"])
    executing, _, _ = await page(statuses=["EXECUTING", "COMPLETED"])

    assert (first, second, back, none) == (newest[:3], newest[3:6], newest[:3], None)
    assert odd == [run for n, run in reversed(list(enumerate(runs))) if n % 2]
    assert (len(queued), executing) == (7, [])
