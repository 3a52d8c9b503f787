"""Runs that wait without a worker: who wakes them, and what comes between."""

from oncue.engine import recovery
from oncue.protocol import ids
from oncue.protocol.work import RunSettled
from tests.engine.conftest import LEASE, Engine, declared


async def test_unloaded_run_starts_again_when_its_child_ends(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    run = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child", call_key="wait:child#1")
    (child,) = await engine.claim(worker)

    assert await engine.unload(worker, parent, child_id) == []
    assert await engine.status(run) == "WAITING"
    assert await engine.claim(worker) == []

    await engine.succeed(worker, child, output=b"42")
    other = await engine.announce("parent", "child")
    (again,) = await engine.claim(other)
    assert (again.run_id, again.epoch, again.attempt) == (run, parent.epoch + 1, 1)
    # Its call stands for the child that it made, whose result is there at once.
    assert await engine.wait_for(again, other, "child", call_key="wait:child#1") == child_id
    (settled,) = await engine.notices(other)
    assert isinstance(settled, RunSettled)
    assert settled.resumes
    assert await engine.succeed(other, again) == []
    assert (await engine.retrieve(run)).attempt_count == 1


async def test_child_that_ended_before_the_unloading_wakes_at_once(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    await engine.succeed(worker, child)

    assert await engine.unload(worker, parent, child_id) == []
    (again,) = await engine.claim(worker)
    assert again.run_id == parent.run_id


async def test_one_of_several_children_wakes_the_run(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    waited = [await engine.wait_for(parent, worker, "child") for _ in range(2)]
    first, _ = await engine.claim(worker)
    await engine.unload(worker, parent, *waited)

    await engine.succeed(worker, first)
    (again,) = await engine.claim(worker)
    assert (again.run_id, await engine.status(again.run_id)) == (parent.run_id, "EXECUTING")


async def test_result_that_the_worker_had_got_wakes_nobody(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    waited = [await engine.wait_for(parent, worker, "child") for _ in range(2)]
    first, second = await engine.claim(worker)
    await engine.succeed(worker, first)

    await engine.unload(worker, parent, waited[1])
    assert await engine.claim(worker) == []
    await engine.succeed(worker, second)
    assert [run.run_id for run in await engine.claim(worker)] == [parent.run_id]


async def test_result_that_came_meanwhile_wakes_at_once(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    waited = [await engine.wait_for(parent, worker, "child") for _ in range(2)]
    first, _ = await engine.claim(worker)
    await engine.succeed(worker, first)

    await engine.unload(worker, parent, *waited)
    assert [run.run_id for run in await engine.claim(worker)] == [parent.run_id]


async def test_unloaded_run_holds_no_slot_and_goes_before_new_ones(engine: Engine) -> None:
    worker = await engine.announce(declared("parent", queue="one", concurrency_limit=1), "child")
    run = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child")
    await engine.unload(worker, parent, child_id)
    other = await engine.trigger("parent")
    last = await engine.trigger("parent")
    claimed = {each.run_id: each for each in await engine.claim(worker)}
    assert set(claimed) == {other, child_id}

    await engine.succeed(worker, claimed[child_id])
    assert await engine.claim(worker) == []
    await engine.succeed(worker, claimed[other])
    assert [each.run_id for each in await engine.claim(worker)] == [run]
    assert await engine.status(last) == "QUEUED"


async def test_unloaded_run_outlives_the_lease_of_its_worker(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    run = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child")
    await engine.unload(worker, parent, child_id)
    await engine.run(lambda tx: recovery.release_held(tx, engine.environment, worker, effects=engine.effects))
    await engine.advance(2 * LEASE)
    await engine.recover()

    assert await engine.status(run) == "WAITING"


async def test_cancelled_unloaded_run_ends_with_its_child(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    run = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child")
    await engine.unload(worker, parent, child_id)
    await engine.cancel(run)

    assert [await engine.status(each) for each in (run, child_id)] == ["CANCELED", "CANCELED"]


async def test_unloading_by_a_worker_that_lost_the_run_changes_nothing(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    run = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child")
    await engine.advance(2 * LEASE)
    await engine.recover()
    other = await engine.announce("parent", "child")
    await engine.claim(other)

    assert await engine.unload(worker, parent, child_id) == [run]
    assert await engine.status(run) == "EXECUTING"


async def test_unloading_bills_what_the_run_has_computed(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    run = await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child_id = await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    await engine.unload(worker, parent, child_id)
    await engine.succeed(worker, child)
    (again,) = await engine.claim(worker)
    await engine.succeed(worker, again)

    assert (await engine.retrieve(run)).duration_ms == 12
    assert ids.parse_any((ids.BATCH, ids.RUN), run) == ids.parse(ids.RUN, run)
