"""Options of a trigger do what they say, end to end."""

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest

from oncue import RunHandle, item, runs, tasks
from tests.e2e.conftest import Run
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import eventually


async def test_delayed_run_starts_when_its_moment_comes(run: Run) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.5)

    handle = await tasks.trigger("double", 1, delay=moment)
    held = await handle.retrieve()
    ended = await runs.poll(handle, interval=0.02, timeout=20)

    assert (held.status, held.is_queued) == ("DELAYED", True)
    assert ended.started_at is not None
    late_s = (ended.started_at - moment).total_seconds()
    assert 0 <= late_s < 2


async def test_cancelled_delayed_run_never_starts(run: Run) -> None:
    handle = await tasks.trigger("double", 1, delay="1h")
    await runs.cancel(handle)

    ended = await handle.retrieve()
    assert (ended.status, ended.started_at) == ("CANCELED", None)


async def test_tags_and_metadata_are_seen_everywhere(run: Run) -> None:
    handle = await tasks.trigger("describe", 1, tags=["red", "blue"], metadata={"user": {"id": 7}}, priority=3)
    seen = (await handle.result(20)).unwrap()

    shown = await handle.retrieve()
    assert sorted(seen["tags"]) == sorted(shown.tags) == ["blue", "red"]
    assert seen["metadata"] == shown.metadata == {"user": {"id": 7}}
    assert seen["priority"] == shown.priority == 3


async def test_queue_of_the_call_wins_over_the_tasks(run: Run) -> None:
    seen = await run("describe", 1, queue="fast-lane", concurrency_key=5)

    assert (seen["queue"], seen["key"]) == ("fast-lane", "5")


@pytest.mark.parametrize("task_id", ["counted", "counted-plain"])
async def test_queue_limit_holds_in_a_real_worker(run: Run, tmp_path: Path, task_id: str) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    handle = await tasks.batch_trigger(task_id, [item([str(ledger), str(gate)]) for _ in range(8)])

    await eventually(lambda: len(lines(ledger)) == 2, "two runs start")
    waiting = [each async for each in runs.list(batch=handle, status="QUEUED")]
    gate.touch()
    await asyncio.gather(*(each.result(20) for each in handle.runs))

    assert len(waiting) == 6
    assert _most_at_once(lines(ledger)) == 2
    assert len(lines(ledger)) == 16


async def test_each_concurrency_key_has_its_own_limit(run: Run, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    payload = [str(ledger), str(gate)]
    handle = await tasks.batch_trigger(
        "counted", [item(payload, concurrency_key=key) for key in ("ann", "ann", "ann", "bob", "bob", "bob")]
    )

    await eventually(lambda: len(lines(ledger)) == 4, "two runs of each key start")
    gate.touch()
    await asyncio.gather(*(each.result(20) for each in handle.runs))

    for key in ("ann", "bob"):
        assert _most_at_once([line for line in lines(ledger) if line.endswith(key)]) == 2


async def test_queue_limit_given_by_the_call_holds(run: Run, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    handle = await tasks.batch_trigger(
        "counted",
        [item([str(ledger), str(gate)]) for _ in range(3)],
        queue={"name": f"main-branch-{tmp_path.name}", "concurrency_limit": 1},
    )

    await eventually(lambda: lines(ledger), "a run starts")
    gate.touch()
    await asyncio.gather(*(each.result(20) for each in handle.runs))

    assert _most_at_once(lines(ledger)) == 1


async def until_executing(handle: RunHandle[Any]) -> None:
    async def executes() -> bool:
        return (await handle.retrieve()).status == "EXECUTING"

    await eventually(executes, "the run executes")


async def test_higher_priority_starts_first(run: Run, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    first = await tasks.trigger("in-turn", [str(ledger), str(gate), "first"])
    await until_executing(first)
    others = [
        await tasks.trigger("in-turn", [str(ledger), str(gate), name], priority=priority)
        for name, priority in (("low", 0), ("high", 60), ("middle", 30))
    ]
    gate.touch()
    await asyncio.gather(*(handle.result(20) for handle in (first, *others)))

    assert lines(ledger) == ["first", "high", "middle", "low"]


async def test_run_beyond_its_max_duration_times_out(run: Run) -> None:
    handle = await tasks.trigger("too-long")

    ended = await runs.poll(handle, interval=0.02, timeout=10)
    assert ended.status == "TIMED_OUT"
    assert ended.error is not None
    assert "max_duration of 0.2 s" in ended.error.message


async def test_max_duration_of_the_call_wins(run: Run) -> None:
    assert await run("limited") == 3600
    assert await run("limited", max_duration="7m") == 420


def _most_at_once(ledger: list[str]) -> int:
    at_once = most = 0
    for line in ledger:
        at_once += 1 if line.startswith("+") else -1
        most = max(most, at_once)
    return most
