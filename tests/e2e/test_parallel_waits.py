"""Waits side by side and waits inside each other end, whatever the limits."""

import asyncio
from pathlib import Path

import pytest

from oncue import runs, tasks
from tests.e2e.conftest import Run
from tests.fixtures.stack import eventually


async def test_gathered_waits_return_in_order(run: Run) -> None:
    assert await run("gathers", 20) == [2 * number for number in range(20)]


async def test_gathered_batches_and_runs_end_together(run: Run) -> None:
    assert await run("gathers-batches", 5) == [10, [2, 4], [False, True]]


async def test_task_group_waits_for_all_children(run: Run) -> None:
    assert await run("groups", 10) == [2 * number for number in range(10)]


async def test_failure_in_a_group_ends_the_other_wait(run: Run) -> None:
    assert await run("group-with-a-failure", 1) == ["SubtaskUnwrapError"]


async def test_parent_may_return_with_a_wait_outstanding(run: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    parent = await tasks.trigger("takes-the-first", str(gate))
    seen = (await parent.result(30)).unwrap()

    family = (await runs.retrieve(parent)).related_runs.children or []
    (outstanding,) = [child.id for child in family if child.task_identifier == "held"]
    assert seen == {"output": 42, "pending": 1}
    assert not (await runs.retrieve(outstanding)).is_completed
    gate.touch()
    assert (await runs.poll(outstanding, interval=0.02, timeout=20)).output == "held"


async def test_parent_goes_on_while_another_wait_is_open(run: Run, tmp_path: Path) -> None:
    assert await run("works-between-waits", str(tmp_path / "gate")) == [2, 4, "held"]


async def test_hundred_nested_waits_fit_one_slot(run: Run) -> None:
    assert await run("nested", 100) == 100


async def test_twenty_nested_plain_waits_fit_one_slot(run: Run) -> None:
    assert await run("nested-plain", 20) == 20


async def test_parent_and_children_share_a_narrow_queue(run: Run) -> None:
    outputs = await asyncio.gather(*(run("narrow-parent", 3) for _ in range(4)))

    assert outputs == [[0, 1, 2]] * 4


async def test_parent_and_child_share_a_concurrency_key(run: Run) -> None:
    outputs = await asyncio.gather(*(run("keyed-parent", n, concurrency_key=f"user-{n % 2}") for n in range(4)))

    assert outputs == [[f"user-{n % 2}", f"user-{n % 2}", n] for n in range(4)]


@pytest.mark.in_memory
async def test_waits_one_after_another_never_pause(run: Run) -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    assert await run("one-after-another", 50) == 2450
    # A wake-up that gets lost is made up for after two seconds at the earliest.
    assert loop.time() - begun_s < 50 * 0.1


async def test_waiting_run_is_shown_with_its_child(run: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    parent = await tasks.trigger("waits-for-held", str(gate))

    async def is_waiting() -> bool:
        return (await runs.retrieve(parent)).status == "WAITING"

    await eventually(is_waiting, "the parent is parked")
    seen = await runs.retrieve(parent)
    assert seen.is_waiting
    assert [child.task_identifier for child in seen.related_runs.children or []] == ["held"]
    gate.touch()
    assert (await parent.result(20)).unwrap() == "held"
