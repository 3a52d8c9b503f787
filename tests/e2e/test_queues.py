"""Operators pause queues and change their limits while real workers execute."""

from pathlib import Path

from oncue import item, queues, tasks
from tests.e2e.conftest import Run
from tests.e2e.programs.children import double
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import LONG_S, eventually


async def test_paused_queue_starts_nothing_until_it_is_resumed(run: Run) -> None:
    assert await run("double", 1, queue="paused-for-a-while") == 2
    paused = await queues.pause("paused-for-a-while")
    handle = await tasks.trigger("double", 2, queue="paused-for-a-while")
    # Another queue goes on, so the worker has had its chance to take the other run.
    assert await run("double", 3) == 6

    held = await handle.retrieve()
    resumed = queues.sync.resume(paused)

    assert (held.status, resumed.queued) == ("QUEUED", 1)
    assert (await handle.result(LONG_S)).unwrap() == 4


async def test_overridden_limit_holds_until_it_is_reset(run: Run, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    await run("double", 1, queue="narrowed")
    await queues.override_concurrency_limit("narrowed", 1)
    handle = await tasks.batch_trigger("counted", [item([str(ledger), str(gate)]) for _ in range(4)], queue="narrowed")

    await eventually(lambda: len(lines(ledger)) == 1, "one run starts")
    one = await queues.retrieve("narrowed")
    await queues.override_concurrency_limit("narrowed", 3)
    await eventually(lambda: len(lines(ledger)) == 3, "two more start")
    three = await queues.retrieve("narrowed")
    reset = await queues.reset_concurrency_limit("narrowed")
    await eventually(lambda: len(lines(ledger)) == 4, "the last one starts")
    gate.touch()

    assert [(seen.running, seen.queued) for seen in (one, three)] == [(1, 3), (3, 1)]
    assert (reset.concurrency_limit, reset.concurrency.override) == (None, None)
    assert [(await each.result(LONG_S)).ok for each in handle.runs] == [True] * 4


async def test_every_queue_is_listed_and_found_by_its_task(run: Run) -> None:
    listed = {(each.type, each.name) async for each in queues.list()}

    assert {("task", "double"), ("custom", "two-at-once")} <= listed
    assert (await queues.retrieve(double)).name == "double"
