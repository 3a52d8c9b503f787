"""A backend triggers by id, asks for results and gives its handles away, async or blocking."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from oncue import Failed, Ok, RunHandle, batch, item, runs, tasks
from tests.e2e.conftest import Run
from tests.e2e.programs.children import Order, double, price, refuse_odd, shout

pytestmark = pytest.mark.usefixtures("run")


async def test_trigger_by_id_runs_on_a_worker(run: Run) -> None:
    handle = await tasks.trigger("price", {"customer": "Ann", "amount": 1})

    assert await handle.result(20) == Ok(handle.id, "price", {"customer": "Ann", "amount": 2})


async def test_trigger_by_task_types_payload_and_output(run: Run) -> None:
    handle = await price.trigger(Order("Ann", 1))

    assert (await handle.result(20)).unwrap() == Order("Ann", 2)


async def test_batch_of_one_task_keeps_item_order(run: Run) -> None:
    handle = await tasks.batch_trigger("double", [{"payload": 1}, item(2), {"payload": 3, "options": {"tags": ["x"]}}])

    results = await asyncio.gather(*(each.result(20) for each in handle.runs))
    assert [result.unwrap() for result in results] == [2, 4, 6]
    assert handle.run_count == 3
    view = await handle.retrieve()
    assert (view.status, view.runs) == ("COMPLETED", [each.id for each in handle.runs])


async def test_batch_of_several_tasks_runs_each(run: Run) -> None:
    handle = await batch.trigger([item("double", 1), {"id": "shout", "payload": "a"}, double.item(2)])

    results = await asyncio.gather(*(each.result(20) for each in handle.runs))
    assert [result.unwrap() for result in results] == [2, "A", 4]


async def test_batch_by_task_types_each_position(run: Run) -> None:
    handle = await batch.trigger_by_task((double.item(1), shout.item("a")))

    number, text = handle.runs
    assert (await number.result(20)).unwrap() + 1 == 3
    assert (await text.result(20)).unwrap().lower() == "a"


async def test_failed_run_is_a_result_too(run: Run) -> None:
    handle = await tasks.trigger("refuse-odd", 1)

    match await handle.result(20):
        case Failed(id=run_id, error=error):
            assert run_id == handle.id
            assert (error.name, error.message) == ("ValueError", "1 is odd")
            assert "in refuse_odd" in (error.stack_trace or "")
        case Ok():
            pytest.fail("an odd number was taken")


async def test_handles_are_plain_json_data(run: Run) -> None:
    one = await tasks.trigger("double", 1)
    many = await tasks.batch_trigger("double", [item(1)])

    assert json.loads(json.dumps(one.to_dict()))["id"] == one.id
    assert json.loads(json.dumps(many.to_dict()))["batchId"] == many.batch_id


async def test_result_by_a_stored_id_is_found_later(run: Run) -> None:
    handle = await tasks.trigger("double", 5)

    later = await runs.poll(handle.id, interval=0.02, timeout=20)
    assert (later.output, later.attempt_count, later.is_success) == (10, 1, True)


async def test_generators_feed_batches_from_a_backend(run: Run) -> None:
    async def streamed() -> AsyncIterator[Any]:
        for number in range(3):
            yield item(number)

    def generated() -> Iterator[Any]:
        yield from ({"payload": number} for number in range(3))

    handles = [await tasks.batch_trigger("double", streamed()), await tasks.batch_trigger("double", generated())]

    for handle in handles:
        assert [(await each.result(20)).unwrap() for each in handle.runs] == [0, 2, 4]


async def test_batch_of_a_thousand_items_all_run(run: Run) -> None:
    handle = await double.batch_trigger(item(number) for number in range(1000))

    last = await handle.runs[-1].result(20)
    view = await runs.poll(handle.runs[0], interval=0.05, timeout=20)
    assert (last.unwrap(), view.output, handle.run_count) == (1998, 0, 1000)


@pytest.mark.parametrize(
    "trigger",
    [
        lambda: tasks.sync.trigger("double", 4),
        lambda: double.sync.trigger(4),
        lambda: tasks.sync.batch_trigger("double", [item(4)]).runs[0],
        lambda: double.sync.batch_trigger([double.item(4)]).runs[0],
        lambda: batch.sync.trigger([item("double", 4)]).runs[0],
        lambda: batch.sync.trigger_by_task((double.item(4),)).runs[0],
    ],
    ids=["tasks.trigger", "task.trigger", "tasks.batch", "task.batch", "batch.trigger", "batch.by-task"],
)
async def test_every_trigger_function_works_blocking(run: Run, trigger: Callable[[], RunHandle[Any]]) -> None:
    def script() -> tuple[Any, str, str]:
        handle = trigger()
        output = handle.sync.result(20).unwrap()
        return output, handle.sync.retrieve().status, runs.sync.retrieve(handle.id).task_identifier

    assert await asyncio.to_thread(script) == (8, "COMPLETED", "double")


async def test_large_payload_and_output_travel_whole(run: Run) -> None:
    payload = "0123456789" * 300_000

    seen = await run("describe", payload)
    blocking = await asyncio.to_thread(lambda: tasks.sync.trigger("describe", payload).sync.result(20).unwrap())

    assert seen["payload"] == blocking["payload"] == payload


async def test_listing_finds_runs_by_tag_and_status(run: Run) -> None:
    handle = await refuse_odd.batch_trigger([item(number) for number in range(6)], tags=["listed-here"])
    waits: list[Awaitable[Any]] = [each.result(20) for each in handle.runs]
    await asyncio.gather(*waits)

    failed = [each.id async for each in runs.list(tag="listed-here", status="FAILED")]
    two = [each.id async for each in runs.list(tag="listed-here", limit=2)]
    assert sorted(failed) == sorted(each.id for each in handle.runs[1::2])
    assert len(two) == 2


async def test_failed_runs_are_replayed_in_bulk_and_fail_once_more(run: Run) -> None:
    handle = await refuse_odd.batch_trigger([item(number) for number in range(4)], tags=["replayed-in-bulk"])
    await asyncio.gather(*[each.result(20) for each in handle.runs])

    action = await runs.bulk.replay(tag="replayed-in-bulk", status="FAILED")
    action = await runs.bulk.poll(action, interval=0.05, timeout="20s")

    assert (action.status, action.counts.total, action.counts.success) == ("COMPLETED", 2, 2)
    replays = [each.id async for each in runs.list(bulk_action=action)]
    ended = await asyncio.gather(*(runs.poll(each, interval=0.05, timeout="20s") for each in replays))
    assert [each.status for each in ended] == ["FAILED"] * 2
    assert action.id in [each.id async for each in runs.bulk.list()]


async def test_named_runs_are_cancelled_in_bulk(run: Run) -> None:
    held = [await refuse_odd.trigger(number, delay="1h") for number in range(3)]

    action = await asyncio.to_thread(runs.sync.bulk.cancel, held)
    await runs.bulk.poll(action, interval=0.05, timeout="20s")

    assert [(await each.retrieve()).status for each in held] == ["CANCELED"] * 3
