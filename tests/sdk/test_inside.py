"""Triggering and waiting from inside a run."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import oncue
from oncue import (
    BatchTriggerError,
    Failed,
    LeaseLost,
    Ok,
    OncueError,
    OutsideTaskError,
    PayloadValidationError,
    RunCancelled,
    RunLost,
    SubtaskUnwrapError,
    batch,
    item,
    task,
    tasks,
)
from oncue.protocol.codec import encode
from oncue.protocol.failures import BuiltInError
from oncue.protocol.work import ChildFailed, ChildSucceeded
from oncue.sdk import answers, filling, requests

from .conftest import FakeApi, FakeRun, Reply


@dataclass
class Receipt:
    number: int


def ok(task_id: str, output: object, run_id: str = "run_1") -> ChildSucceeded:
    return ChildSucceeded(run_id, task_id, msgspec.Raw(encode(output)))


def failed(task_id: str, run_id: str = "run_1") -> ChildFailed:
    return ChildFailed(run_id, task_id, BuiltInError("ValueError", "no stock", "Traceback ..."))


@pytest.fixture
def child() -> Any:
    @task(id="child")
    async def child(payload: int) -> Receipt:
        return Receipt(payload)

    return child


async def test_trigger_says_which_run_calls(api: FakeApi, inside: FakeRun, child: Any) -> None:
    await child.trigger(1)
    await tasks.trigger("child", 2)
    await tasks.trigger("other", 3)

    options = [seen.json["options"] for seen in api.seen]
    assert [each["callKey"] for each in options] == ["trigger:child#1", "trigger:child#2", "trigger:other#1"]
    assert options[0]["parentRunId"] == "run_parent"
    assert options[0]["parentEpoch"] == 3
    assert options[0]["parentWorkerId"] == "worker_1"
    assert "resumeParentOnCompletion" not in options[0]


async def test_waiting_reads_output_as_annotated(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.result_of = lambda run_id: ok("child", {"number": 7}, run_id)

    result = await child.trigger_and_wait(1)
    output = await child.trigger_and_wait(1).unwrap()
    plain = await tasks.trigger_and_wait("child", 1).unwrap()

    assert isinstance(result, Ok)
    assert (result.ok, result.output, result.task_identifier) == (True, Receipt(7), "child")
    assert output == Receipt(7)
    assert plain == {"number": 7}
    options = [seen.json["options"] for seen in api.seen]
    assert [each["runId"] for each in options] == inside.waited_for
    assert [each["callKey"] for each in options] == ["wait:child#1", "wait:child#2", "wait:child#3"]
    assert all(each["resumeParentOnCompletion"] for each in options)


async def test_parked_call_keeps_nothing_of_its_request(api: FakeApi, inside: FakeRun, child: Any) -> None:
    def parts() -> list[Any]:
        gc.collect()
        kinds = (requests.Call, requests.HttpRequest, answers.Answer, filling.Batch)
        return [each for each in gc.get_objects() if isinstance(each, kinds)]

    others = {id(each) for each in parts()}
    kept: list[Any] = []

    def look(run_id: str) -> ChildSucceeded:
        kept.extend(each for each in parts() if id(each) not in others)
        return ok("child", {"number": 7}, run_id)

    async def later() -> AsyncIterator[Any]:
        yield item(1)

    inside.result_of = look
    inside.on_batch_wait = lambda batch_id: [look(batch_id)]
    await child.trigger_and_wait(1)
    await child.batch_trigger_and_wait([item(1)])
    await child.batch_trigger_and_wait(later())
    inside.blocks_thread = True
    child.sync.trigger_and_wait(1)
    child.sync.batch_trigger_and_wait([item(1)])

    assert len(inside.waited_for) == 5
    assert kept == []


async def test_failed_child_is_a_result_until_unwrapped(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.result_of = lambda run_id: failed("child", run_id)

    result = await child.trigger_and_wait(1)
    with pytest.raises(SubtaskUnwrapError, match="ValueError: no stock") as caught:
        await child.trigger_and_wait(1).unwrap()

    assert isinstance(result, Failed)
    assert (result.ok, result.error.name, result.error.message) == (False, "ValueError", "no stock")
    assert caught.value.run_id == inside.waited_for[1]
    assert caught.value.task_id == "child"


async def test_output_that_breaks_its_promise_is_refused(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.result_of = lambda run_id: ok("child", {"number": "seven"}, run_id)

    with pytest.raises(PayloadValidationError, match=r"output\.number is str; expected int"):
        await child.trigger_and_wait(1)


async def test_absent_output_is_none(api: FakeApi, inside: FakeRun) -> None:
    inside.result_of = lambda run_id: ChildSucceeded(run_id, "child")

    assert await tasks.trigger_and_wait("child").unwrap() is None


async def test_gather_and_task_group_take_waits(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.result_of = lambda run_id: ok("child", {"number": 1}, run_id)

    gathered = await asyncio.gather(child.trigger_and_wait(1), child.trigger_and_wait(2).unwrap())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(child.trigger_and_wait(3))
        second = group.create_task(child.trigger_and_wait(4).unwrap())
    timed = await asyncio.wait_for(child.trigger_and_wait(5), timeout=5)

    assert gathered[1] == second.result() == Receipt(1)
    assert first.result().ok
    assert timed.ok


async def test_calls_are_numbered_when_made_not_when_awaited(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.result_of = lambda run_id: ok("child", {"number": 1}, run_id)

    first, second = child.trigger_and_wait(1), child.trigger_and_wait(2)
    await second
    await first

    assert [(seen.json["payload"], seen.json["options"]["callKey"]) for seen in api.seen] == [
        (2, "wait:child#2"),
        (1, "wait:child#1"),
    ]


async def test_batch_results_come_in_item_order(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.batch_results = [ok("child", {"number": 1}), failed("child"), ok("other", [1])]

    async def later() -> AsyncIterator[Any]:
        yield child.item(1)
        yield child.item(2)
        yield item("other", 3)

    results = await batch.trigger_and_wait(later())

    assert [run.ok for run in results.runs] == [True, False, True]
    assert results.runs[0].unwrap() == Receipt(1)
    assert results.runs[2].unwrap() == [1]
    create = api.seen[0].json
    assert create["callKey"] == "batch-wait:*#1"
    assert create["resumeParentOnCompletion"]
    assert (create["parentRunId"], create["parentEpoch"], create["parentWorkerId"]) == ("run_parent", 3, "worker_1")
    assert inside.waited_for == [results.id] == [create["id"]]


async def test_batch_of_one_task_is_counted_under_it(api: FakeApi, inside: FakeRun, child: Any) -> None:
    await child.batch_trigger([item(1)])
    await child.batch_trigger_and_wait([item(1)])

    assert inside.keys == ["batch:child#1", "batch-wait:child#1"]


async def test_tuple_of_tasks_gives_tuple_of_runs(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.batch_results = [ok("child", {"number": 1}), ok("child", {"number": 2})]

    handle = await batch.trigger_by_task((child.item(1), child.item(2)))
    run_1, run_2 = (await batch.trigger_by_task_and_wait((child.item(1), child.item(2)))).runs

    assert [run.task_identifier for run in handle.runs] == ["child", "child"]
    assert (run_1.unwrap(), run_2.unwrap()) == (Receipt(1), Receipt(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda child: child.trigger(1),
        lambda child: child.trigger_and_wait(1),
        lambda child: child.batch_trigger([item(1)]),
        lambda child: batch.trigger_and_wait([child.item(1)]),
    ],
    ids=["trigger", "wait", "batch", "batch-wait"],
)
async def test_run_that_lost_its_lease_stops_at_once(api: FakeApi, inside: FakeRun, child: Any, call: Any) -> None:
    gone = {"error": "the parent run is no longer executed by this worker; stop it", "code": "lease_lost"}
    api.prepare("POST /", Reply(409, gone, {"x-should-retry": "false"}))

    with pytest.raises(RunLost, match="no longer executed by this worker") as caught:
        await call(child)

    assert isinstance(caught.value.__cause__, LeaseLost)
    assert len(api.seen) == 1
    assert inside.waited_for == []


def test_plain_function_that_was_cancelled_is_told_at_its_next_call(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.blocks_thread = True
    api.prepare("POST /", Reply(409, {"error": "gone", "code": "run_cancelled"}, {"x-should-retry": "false"}))

    with pytest.raises(RunCancelled):
        child.sync.trigger(1)


def test_lost_lease_stops_a_plain_function_too(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.blocks_thread = True
    api.prepare("POST /", Reply(409, {"error": "gone", "code": "lease_lost"}, {"x-should-retry": "false"}))

    with pytest.raises(RunLost):
        child.sync.trigger_and_wait(1)

    assert len(api.seen) == 1


async def test_failed_batch_does_not_wait(api: FakeApi, inside: FakeRun, child: Any) -> None:
    api.prepare("POST /api/v3/batches", Reply(422, {"error": "queue is full"}))

    with pytest.raises(BatchTriggerError, match="queue is full"):
        await child.batch_trigger_and_wait([item(1)])

    assert inside.waited_for == []


def test_plain_task_waits_on_its_thread(api: FakeApi, inside: FakeRun, child: Any) -> None:
    inside.blocks_thread = True
    inside.result_of = lambda run_id: ok("child", {"number": 7}, run_id)
    inside.batch_results = [ok("child", {"number": 8})]

    assert child.sync.trigger_and_wait(1).unwrap() == Receipt(7)
    assert child.sync.batch_trigger_and_wait([item(1)]).runs[0].unwrap() == Receipt(8)
    assert tasks.sync.trigger_and_wait("child", 1).unwrap() == {"number": 7}
    assert batch.sync.trigger_and_wait([item("child", 1)]).runs[0].unwrap() == {"number": 8}


def test_wrong_side_of_sync_is_refused(api: FakeApi, inside: FakeRun, child: Any) -> None:
    with pytest.raises(OncueError, match=r"would block the event loop.*without \.sync"):
        child.sync.trigger_and_wait(1)
    with pytest.raises(OncueError, match="would block the event loop"):
        batch.sync.trigger_and_wait([child.item(1)])
    inside.blocks_thread = True
    with pytest.raises(OncueError, match=r"plain function; write `\.\.\.\.sync\.trigger_and_wait"):
        child.trigger_and_wait(1)
    with pytest.raises(OncueError, match="plain function"):
        child.batch_trigger_and_wait([item(1)])
    assert api.seen == []


def test_waiting_outside_a_task_is_refused_before_any_request(api: FakeApi, child: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: child.trigger_and_wait(1),
        lambda: child.sync.trigger_and_wait(1),
        lambda: child.batch_trigger_and_wait([item(1)]),
        lambda: child.sync.batch_trigger_and_wait([item(1)]),
        lambda: tasks.trigger_and_wait("child", 1),
        lambda: tasks.sync.trigger_and_wait("child", 1),
        lambda: batch.trigger_and_wait([child.item(1)]),
        lambda: batch.sync.trigger_by_task_and_wait([child.item(1)]),
    ]

    for call in calls:
        with pytest.raises(OutsideTaskError, match=r"handle\.result\(\)"):
            call()
    assert api.seen == []


def test_current_is_the_run_and_only_inside(inside: FakeRun) -> None:
    assert oncue.current() is inside.context
    assert oncue.current().attempt.number == 2


def test_current_outside_says_what_to_do() -> None:
    with pytest.raises(OutsideTaskError, match="no current run"):
        oncue.current()


async def test_children_of_a_test_run_are_test_runs(api: FakeApi, inside: FakeRun, child: Any) -> None:
    run = msgspec.structs.replace(inside.context.run, is_test=True)
    inside.context = msgspec.structs.replace(inside.context, run=run)

    await child.trigger(1)
    await child.batch_trigger([item(1)])

    assert api.seen[0].json["options"]["test"] is True
    assert api.seen[2].lines[0]["options"]["test"] is True


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda child: child.trigger(1), "Task.trigger"),
        (lambda child: child.trigger_and_wait(1), "Task.trigger_and_wait"),
        (lambda child: child.batch_trigger([item(1)]), "Task.batch_trigger"),
        (lambda _: tasks.trigger("child"), "tasks.trigger"),
        (lambda child: batch.trigger([child.item(1)]), "batch.trigger"),
        (lambda _: oncue.runs.retrieve("run_1"), "runs.retrieve"),
    ],
)
@pytest.mark.filterwarnings("default")
def test_call_that_is_not_awaited_warns(api: FakeApi, inside: FakeRun, child: Any, call: Any, name: str) -> None:
    def forget() -> None:
        call(child)
        gc.collect()

    with pytest.warns(RuntimeWarning, match=f"coroutine '{name}' was never awaited"):
        forget()

    assert api.seen == []
