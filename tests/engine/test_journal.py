"""A run that starts again from the top finds what its calls made before, and makes nothing twice."""

import uuid

import pytest

from oncue.engine import steps
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import LeaseLost
from oncue.protocol.triggers import BatchItem
from oncue.protocol.work import Assignment, RunSettled, StepCall
from tests.engine.conftest import NO_WAIT, Engine, declared, request


async def started(engine: Engine) -> tuple[uuid.UUID, Assignment]:
    """A worker that executes a run of ``parent``, which nobody else does."""
    worker = await engine.announce(declared("parent", retry=NO_WAIT))
    await engine.trigger("parent")
    (run,) = await engine.claim(worker)
    return worker, run


async def restarted(engine: Engine, worker: uuid.UUID, run: Assignment) -> Assignment:
    """The same attempt of the run, from the top."""
    await engine.hand_back(worker, run)
    (again,) = await engine.claim(worker)
    assert (again.attempt, again.epoch) == (run.attempt, run.epoch + 1)
    return again


async def test_call_made_again_stands_for_the_run_it_made(engine: Engine) -> None:
    worker, parent = await started(engine)
    first = await engine.child(parent, worker, "child", call_key="trigger:child#1")
    again = await restarted(engine, worker, parent)

    assert await engine.child(again, worker, "child", call_key="trigger:child#1") == first
    assert await engine.child(again, worker, "child", call_key="trigger:child#2") != first


async def test_wait_made_again_goes_on_with_the_child_of_before(engine: Engine) -> None:
    worker, parent = await started(engine)
    child = await engine.wait_for(parent, worker, "child", call_key="wait:child#1")
    again = await restarted(engine, worker, parent)

    assert await engine.wait_for(again, worker, "child", call_key="wait:child#1") == child
    assert await engine.status(parent.run_id) == "WAITING"
    minder = await engine.announce("child")
    await engine.succeed(minder, *await engine.claim(minder), output=b"7")

    (notice,) = await engine.notices(worker)
    assert isinstance(notice, RunSettled)
    assert (notice.run_id, notice.epoch, notice.resumes) == (parent.run_id, again.epoch, True)


async def test_wait_made_again_for_an_ended_child_is_over_at_once(engine: Engine) -> None:
    worker, parent = await started(engine)
    child = await engine.wait_for(parent, worker, "child", call_key="wait:child#1")
    minder = await engine.announce("child")
    await engine.fail(minder, *await engine.claim(minder), retryable=False)
    again = await restarted(engine, worker, parent)
    heard = await engine.notices(worker)

    assert await engine.wait_for(again, worker, "child", call_key="wait:child#1") == child

    assert await engine.status(parent.run_id) == "EXECUTING"
    told = list(await engine.notices(worker, [each.notice_id for each in heard]))
    assert [(notice.epoch, isinstance(notice, RunSettled) and notice.resumes) for notice in told] == [
        (again.epoch, True)
    ]


async def test_batch_made_again_is_the_one_of_before(engine: Engine) -> None:
    worker, parent = await started(engine)
    how = {
        "parent_run_id": parent.run_id,
        "parent_worker_id": ids.show(ids.WORKER, worker),
        "call_key": "batch:child#1",
    }
    first = await engine.create_batch(2, **how, parent_epoch=parent.epoch)
    await engine.fill_batch(first, BatchItem(0, "child"))
    again = await restarted(engine, worker, parent)

    second = await engine.create_batch(2, **how, parent_epoch=again.epoch)
    filled = await engine.fill_batch(second, BatchItem(0, "child"), BatchItem(1, "child"))

    assert second == first
    assert filled == (1, 1, True)


async def test_next_attempt_begins_with_nothing(engine: Engine) -> None:
    worker, parent = await started(engine)
    first = await engine.child(parent, worker, "child", call_key="trigger:child#1")
    await engine.fail(worker, parent, retryable=True)
    await engine.release_due()
    (retry,) = await engine.claim(worker)

    second = await engine.child(retry, worker, "child", call_key="trigger:child#1")
    again = await restarted(engine, worker, retry)

    assert second != first
    assert await engine.child(again, worker, "child", call_key="trigger:child#1") == second


async def test_other_payload_is_told_and_the_first_one_stays(engine: Engine) -> None:
    worker, parent = await started(engine)
    first = await engine.child(parent, worker, "child", payload={"n": 1}, call_key="trigger:child#1")
    again = await restarted(engine, worker, parent)

    made = [await called(engine, again, worker, {"n": number}) for number in (1, 2)]

    assert [(ids.show(ids.RUN, one.run_id), one.payload_differs) for one in made] == [(first, False), (first, True)]
    assert bytes((await engine.retrieve(first)).payload) == b'{"n":1}'


async def called(engine: Engine, parent: Assignment, worker: uuid.UUID, payload: object) -> Triggered:
    wanted = request(
        payload,
        parent_run_id=parent.run_id,
        parent_epoch=parent.epoch,
        parent_worker_id=ids.show(ids.WORKER, worker),
        call_key="trigger:child#1",
    )
    (made,) = await engine.trigger_many(("child", wanted))
    assert isinstance(made, Triggered)
    return made


def step_of(run: Assignment, worker: uuid.UUID, key: str = "step:charge#1") -> StepCall:
    return StepCall(
        parent_run_id=run.run_id,
        parent_epoch=run.epoch,
        parent_worker_id=ids.show(ids.WORKER, worker),
        call_key=key,
    )


async def recalled(engine: Engine, call: StepCall) -> bytes | None:
    return await engine.run(lambda tx: steps.recall(tx, engine.environment, call))


async def test_step_is_recalled_by_the_same_attempt_only(engine: Engine) -> None:
    worker, parent = await started(engine)
    await engine.run(lambda tx: steps.record(tx, engine.environment, step_of(parent, worker), b"1"))
    await engine.run(lambda tx: steps.record(tx, engine.environment, step_of(parent, worker), b"2"))
    again = await restarted(engine, worker, parent)

    found = await recalled(engine, step_of(again, worker))
    other = await recalled(engine, step_of(again, worker, "step:charge#2"))
    await engine.fail(worker, again, retryable=True)
    await engine.release_due()
    (retry,) = await engine.claim(worker)

    assert (found, other) == (b"1", None)
    assert await recalled(engine, step_of(retry, worker)) is None


async def test_lost_execution_keeps_no_step(engine: Engine) -> None:
    worker, parent = await started(engine)
    await restarted(engine, worker, parent)

    with pytest.raises(LeaseLost):
        await engine.run(lambda tx: steps.record(tx, engine.environment, step_of(parent, worker), b"1"))


async def test_steps_of_ended_runs_are_dropped(engine: Engine) -> None:
    worker, parent = await started(engine)
    await engine.run(lambda tx: steps.record(tx, engine.environment, step_of(parent, worker), b"1"))

    kept = await engine.run(steps.forget)
    await engine.succeed(worker, parent)

    assert (kept, await engine.run(steps.forget)) == (0, 1)
