"""Runs that wait hold no place, and go on when what they wait for has come."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from oncue import BatchTriggerError, RunCancelled, task
from oncue.protocol import triggers, work
from oncue.protocol.failures import StringError
from oncue.sdk import execution
from tests.worker.conftest import Start
from tests.worker.network import LONG_S, FarEnd, assignment


def running() -> execution.Execution:
    found = execution.current.get()
    assert found is not None
    return found


async def test_parked_parent_lets_other_runs_start(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> str:
        result = await running().wait_for_run("run_child")
        assert isinstance(result, work.ChildSucceeded)
        return bytes(result.output).decode()

    @task
    async def other() -> None: ...

    waiting, next_run = assignment("parent"), assignment("other")
    async with working(parent, other, concurrency=1):
        await far_end.give(waiting)
        await far_end.give(next_run)
        await far_end.outcome(next_run)
        await far_end.settle(waiting, "run_child", output=b"42")
        outcome = await far_end.outcome(waiting)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"42"'


async def test_parked_plain_function_lets_others_start(far_end: FarEnd, working: Start) -> None:
    @task
    def parent() -> str:
        return running().block_on(running().wait_for_run("run_child")).id

    @task
    def other() -> None: ...

    waiting, next_run = assignment("parent"), assignment("other")
    async with working(parent, other, concurrency=1):
        await far_end.give(waiting)
        await far_end.give(next_run)
        await far_end.outcome(next_run)
        await far_end.settle(waiting, "run_child")
        outcome = await far_end.outcome(waiting)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"run_child"'


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
async def test_result_before_the_wait_is_kept_for_it(far_end: FarEnd, working: Start, kind: str) -> None:
    @task
    async def child(payload: int) -> int:
        return payload

    @task
    async def coroutine() -> int:
        return await child.trigger_and_wait(1).unwrap()

    @task
    def plain() -> int:
        return child.sync.trigger_and_wait(1).unwrap()

    run = assignment(kind)

    async def settle_first(_: str, trigger: triggers.TriggerRequest) -> None:
        # The worker has acted upon the notice before it hears that the child exists.
        notice_id = await far_end.settle(run, str(trigger.options.run_id), output=b"5")
        await far_end.until(lambda: notice_id not in far_end.unacknowledged)

    far_end.before_trigger = settle_first
    async with working(child, coroutine, plain, concurrency=1):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b"5"
    [(_, trigger)] = far_end.triggers
    assert trigger.options.resume_parent_on_completion
    assert trigger.options.parent_run_id == run.run_id
    assert (trigger.options.parent_epoch, trigger.options.call_key) == (1, "wait:child#1")
    assert trigger.options.parent_worker_id == far_end.announcements[0].worker_id


async def test_gather_of_two_waits_needs_one_place(far_end: FarEnd, working: Start) -> None:
    first_came = asyncio.Event()

    @task
    async def parent() -> list[str]:
        async def wait(child: str) -> str:
            result = await running().wait_for_run(child)
            first_came.set()
            return result.id

        return list(await asyncio.gather(wait("run_a"), wait("run_b")))

    @task
    async def blocker() -> None:
        await first_came.wait()

    run, blocking = assignment("parent"), assignment("blocker")
    async with working(parent, blocker, concurrency=1):
        await far_end.give(run)
        await far_end.give(blocking)
        # The blocker holds the only place until the first result has been handed over, so that needs none.
        await far_end.settle(run, "run_b", resumes=False)
        await far_end.outcome(blocking)
        await far_end.settle(run, "run_a", resumes=True)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'["run_a","run_b"]'


async def test_resumed_run_waits_for_a_free_place(far_end: FarEnd, working: Start) -> None:
    order: list[str] = []
    gate, holding = asyncio.Event(), asyncio.Event()

    @task
    async def parent() -> None:
        await running().wait_for_run("run_child")
        order.append("resumed")

    @task
    async def holder() -> None:
        holding.set()
        await gate.wait()
        order.append("place freed")

    @task
    async def late() -> None:
        order.append("late")

    run, held, last = assignment("parent"), assignment("holder"), assignment("late")
    async with working(parent, holder, late, concurrency=1):
        await far_end.give(run)
        await far_end.give(held)
        await asyncio.wait_for(holding.wait(), LONG_S)
        notice_id = await far_end.settle(run, "run_child")
        await far_end.give(last)
        await far_end.until(lambda: notice_id not in far_end.unacknowledged)
        assert order == []
        gate.set()
        await far_end.outcome(last)

    assert order == ["place freed", "resumed", "late"]


async def test_same_child_may_be_waited_for_twice(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> list[str]:
        both = await asyncio.gather(running().wait_for_run("run_x"), running().wait_for_run("run_x"))
        again = await running().wait_for_run("run_x")
        return [result.id for result in (*both, again)]

    run = assignment("parent")
    async with working(parent):
        await far_end.give(run)
        await far_end.settle(run, "run_x")
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert msgspec.json.decode(outcome.output) == ["run_x"] * 3


async def test_wait_that_was_given_up_takes_no_result(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> str:
        try:
            await asyncio.wait_for(running().wait_for_run("run_slow"), 0.01)
        except TimeoutError:
            return (await running().wait_for_run("run_fast")).id
        return "not reached"

    run = assignment("parent")
    async with working(parent, concurrency=1) as worker:
        await far_end.give(run)
        await far_end.settle(run, "run_fast", resumes=False)
        outcome = await far_end.outcome(run)
        await far_end.settle(run, "run_slow")
        await far_end.until(lambda: not far_end.unacknowledged)
        assert worker._places.free == 1

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"run_fast"'


async def test_failed_child_is_a_result_not_an_exception(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> str:
        match await running().wait_for_run("run_child"):
            case work.ChildFailed(error=StringError(raw=text)):
                return text
            case _:
                return "not reached"

    run = assignment("parent")
    child = work.ChildFailed("run_child", "child", StringError("expired"))
    async with working(parent):
        await far_end.give(run)
        await far_end.tell(lambda id_: work.RunSettled(id_, run.run_id, 1, child, resumes=True))
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"expired"'


async def test_batch_results_arrive_in_pages_in_order(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> list[Any]:
        results = await running().wait_for_batch("batch_b")
        return [result.id for result in results]

    names = [f"run_{index}" for index in range(2_300)]
    far_end.results["batch_b"] = [work.ChildSucceeded(name, "child", msgspec.Raw(b"1")) for name in names]
    run = assignment("parent")
    async with working(parent):
        await far_end.give(run)
        await far_end.tell(lambda id_: work.BatchSettled(id_, run.run_id, 1, "batch_b", 2_300, resumes=True))
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert msgspec.json.decode(outcome.output) == names
    assert far_end.pages == [(0, 1000), (1000, 1000), (2000, 1000)]


async def test_aborted_batch_raises_in_its_parent(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> list[Any]:
        try:
            await running().wait_for_batch("batch_b")
        except BatchTriggerError as error:
            return [error.phase, error.batch_id, error.item_count, str(error)]
        return []

    run = assignment("parent")
    async with working(parent):
        await far_end.give(run)
        await far_end.tell(
            lambda id_: work.BatchSettled(id_, run.run_id, 1, "batch_b", 3, resumes=True, aborted="never sealed")
        )
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    found = msgspec.json.decode(outcome.output)
    assert found == ["stream", "batch_b", 3, "batch batch_b was given up: never sealed"]


async def test_notice_of_another_execution_is_dropped(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> str:
        result = await running().wait_for_run("run_child")
        assert isinstance(result, work.ChildSucceeded)
        return bytes(result.output).decode()

    run = assignment("parent", epoch=2)
    older = assignment("parent", run_id=run.run_id, epoch=1)
    async with working(parent):
        await far_end.give(run)
        stale = await far_end.settle(older, "run_child", output=b"1")
        foreign = await far_end.settle(assignment("parent"), "run_child", output=b"2")
        await far_end.until(lambda: not far_end.unacknowledged & {stale, foreign})
        await far_end.settle(run, "run_child", output=b"3")
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"3"'


async def test_cancelled_async_run_sees_cancelled_error(far_end: FarEnd, working: Start) -> None:
    seen: list[BaseException] = []
    parked = asyncio.Event()

    @task
    async def parent() -> None:
        parked.set()
        try:
            await running().wait_for_run("run_child")
        except BaseException as error:
            seen.append(error)
            raise

    @task
    async def after() -> None: ...

    run, next_run = assignment("parent"), assignment("after")
    async with working(parent, after, concurrency=1) as worker:
        await far_end.give(run)
        await asyncio.wait_for(parked.wait(), LONG_S)
        await far_end.tell(lambda id_: work.StopRun(id_, run.run_id, 1, "cancelled"))
        await far_end.give(next_run)
        await far_end.outcome(next_run)
        assert not worker.executor.runs

    assert [type(error) for error in seen] == [asyncio.CancelledError]
    assert [o.run_id for o in far_end.outcomes] == [next_run.run_id]


async def test_cancelled_plain_run_stops_at_its_wait(far_end: FarEnd, working: Start) -> None:
    seen: list[BaseException] = []
    parked, ended = threading.Event(), threading.Event()

    @task
    def parent() -> None:
        parked.set()
        try:
            running().block_on(running().wait_for_run("run_child"))
        except BaseException as error:
            seen.append(error)
            raise
        finally:
            ended.set()

    run = assignment("parent")
    async with working(parent) as worker:
        await far_end.give(run)
        assert await asyncio.to_thread(parked.wait, LONG_S)
        await far_end.tell(lambda id_: work.StopRun(id_, run.run_id, 1, "cancelled"))
        assert await asyncio.to_thread(ended.wait, LONG_S)
        await asyncio.wait_for(worker.executor.emptied.wait(), LONG_S)

    assert [type(error) for error in seen] == [RunCancelled]
    assert far_end.outcomes == []


async def test_cancelled_plain_run_stops_at_its_next_call(far_end: FarEnd, working: Start) -> None:
    seen: list[BaseException] = []
    started, go_on = threading.Event(), threading.Event()

    @task
    def child() -> None: ...

    @task
    def parent() -> None:
        started.set()
        go_on.wait(LONG_S)
        try:
            child.sync.trigger()
        except BaseException as error:
            seen.append(error)
            raise

    run = assignment("parent")
    async with working(child, parent) as worker:
        await far_end.give(run)
        assert await asyncio.to_thread(started.wait, LONG_S)
        notice_id = await far_end.tell(lambda id_: work.StopRun(id_, run.run_id, 1, "cancelled"))
        await far_end.until(lambda: notice_id not in far_end.unacknowledged)
        go_on.set()
        await asyncio.wait_for(worker.executor.emptied.wait(), LONG_S)

    assert [type(error) for error in seen] == [RunCancelled]
    assert far_end.triggers == []
    assert far_end.outcomes == []


async def test_waiting_time_does_not_count_as_compute(far_end: FarEnd, working: Start) -> None:
    @task
    async def parent() -> None:
        await running().wait_for_run("run_child")

    @task
    async def other() -> None: ...

    run, limited = assignment("parent"), assignment("other")
    # Compute is allowed for less time than the wait takes: 200 ms against two long polls of the worker.
    run = msgspec.structs.replace(run, max_duration_ms=200)
    async with working(parent, other):
        await far_end.give(run)
        await far_end.until(lambda: len(far_end.claims) >= 2)
        await asyncio.wait_for(_later(0.4), LONG_S)
        await far_end.give(limited)
        await far_end.outcome(limited)
        await far_end.settle(run, "run_child")
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert outcome.ran_ms < 200


async def _later(seconds: float) -> None:
    """Let real time pass, for the one thing here that measures it."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()
