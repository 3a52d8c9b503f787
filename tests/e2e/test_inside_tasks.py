"""Every function that a task may call works inside an async task and inside a plain one."""

import uuid

import pytest

from tests.e2e.conftest import Run

pytestmark = pytest.mark.parametrize("kind", ["async", "sync"])


async def test_trigger_returns_a_handle_without_waiting(run: Run, kind: str) -> None:
    seen = await run(f"{kind}-trigger", 4)

    run_id = seen["handle"]["id"]
    assert seen["handle"]["taskIdentifier"] == "double"
    assert seen["handle"]["isCached"] is False
    assert seen["retrieved"] == run_id
    assert (seen["status"], seen["output"]) == ("COMPLETED", 8)


async def test_backend_functions_work_inside_tasks_too(run: Run, kind: str) -> None:
    assert await run(f"{kind}-tasks-trigger", "ab") == ["AB", "AB", "AB!", "AB", 8]


async def test_batch_trigger_gives_handles_in_item_order(run: Run, kind: str) -> None:
    seen = await run(f"{kind}-batch-trigger", [3, 1, 2])

    assert seen["outputs"] == [6, 2, 4]
    assert seen["run_count"] == 3
    assert seen["status"] == "COMPLETED"
    assert seen["in_order"]
    assert seen["listed"]


async def test_result_of_a_child_matches_ok(run: Run, kind: str) -> None:
    seen = await run(f"{kind}-trigger-and-wait", 6)

    assert seen["id"].startswith("run_")
    assert (seen["task"], seen["output"]) == ("refuse-odd", 6)


async def test_result_of_a_failed_child_matches_failed(run: Run, kind: str) -> None:
    seen = await run(f"{kind}-trigger-and-wait", 7)

    assert seen["id"].startswith("run_")
    assert (seen["task"], seen["error"]) == ("refuse-odd", ["ValueError", "7 is odd"])


async def test_unwrap_returns_the_output_of_a_child(run: Run, kind: str) -> None:
    assert await run(f"{kind}-unwrap", 6) == {"output": 6}


async def test_unwrap_raises_with_run_task_and_cause(run: Run, kind: str) -> None:
    seen = await run(f"{kind}-unwrap", 7)

    assert seen["run_id"].startswith("run_")
    assert seen["task_id"] == "refuse-odd"
    assert seen["cause"] == "ValueError: 7 is odd"


async def test_output_comes_back_as_its_annotation_says(run: Run, kind: str) -> None:
    assert await run(f"{kind}-typed-output", {"customer": "Ann", "amount": 2}) == ["Order", "Ann", 3, True, None]


async def test_waiting_works_by_the_id_of_a_task(run: Run, kind: str) -> None:
    assert await run(f"{kind}-tasks-wait", 2) == [True, 4, True, False]


async def test_batch_results_keep_item_order_with_failures(run: Run, kind: str) -> None:
    assert await run(f"{kind}-batch-wait", [4, 3, 2, 1, 0]) == [4, "3 is odd", 2, "1 is odd", 0]


async def test_batch_of_several_tasks_is_waited_for(run: Run, kind: str) -> None:
    assert await run(f"{kind}-mixed-batch-wait", 5) == [["double", 10], ["shout", "A"], ["refuse-odd", None]]


async def test_batch_by_task_returns_a_handle_each(run: Run, kind: str) -> None:
    assert await run(f"{kind}-by-task", 5) == [10, "B"]


async def test_batch_by_task_returns_a_result_each(run: Run, kind: str) -> None:
    assert await run(f"{kind}-by-task-wait", 5) == [6, "C"]


async def test_items_may_be_written_in_four_ways(run: Run, kind: str) -> None:
    assert await run(f"{kind}-item-forms", 1) == [2, 4, 6, 8]


async def test_generators_are_taken_as_items_of_batches(run: Run, kind: str) -> None:
    assert await run(f"{kind}-streams", 3) == [[0, 2, 4]] * 3


async def test_task_cancels_and_lists_what_it_triggered(run: Run, kind: str) -> None:
    seen = await run(f"{kind}-cancel", uuid.uuid4().hex)

    assert seen == {"status": "CANCELED", "is_cancelled": True, "listed": True}


async def test_children_know_their_parent_and_batch(run: Run, kind: str) -> None:
    plain, waited, first, second = await run(f"{kind}-lineage", "x")

    assert plain["parent"] is not None
    assert {child["parent"] for child in (waited, first, second)} == {plain["parent"]}
    assert {child["root"] for child in (plain, waited, first, second)} == {plain["parent"]}
    assert plain["batch"] is waited["batch"] is None
    assert first["batch"] == second["batch"] is not None
    assert (first["index"], second["index"]) == (0, 1)
