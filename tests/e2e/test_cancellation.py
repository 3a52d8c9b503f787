"""What is cancelled stops, cleans up, and takes what it triggered with it; whoever waited for it goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oncue import RunHandle, runs, tasks
from tests.e2e.conftest import Run
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import eventually

CLEANED = ["started", "told", "cleaned"]


def noted(ledger: Path, *wanted: str) -> Callable[[], bool]:
    return lambda: lines(ledger) == list(wanted)


async def descendants(run: RunHandle[object]) -> list[str]:
    """Return the ids of a run's only child, of that one's only child, and so on."""
    found: list[str] = []
    shown = await run.retrieve()
    while shown.related_runs.children:
        (child,) = shown.related_runs.children
        found.append(child.id)
        shown = await runs.retrieve(child.id)
    return found


async def test_cancelled_async_run_stops_and_cleans_up(run: Run, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    handle = await tasks.trigger("cancellable", str(ledger))
    await eventually(noted(ledger, "started"), "the run starts")

    await runs.cancel(handle)

    await eventually(noted(ledger, *CLEANED), "the run cleans up")
    ended = await handle.retrieve()
    assert (ended.status, ended.is_cancelled, ended.is_completed) == ("CANCELED", True, True)
    # Once more changes nothing.
    await runs.cancel(handle)
    assert (await handle.retrieve()).finished_at == ended.finished_at


async def test_cancelled_plain_run_stops_at_its_next_call(run: Run, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    handle = await tasks.trigger("cancellable-plain", str(ledger))
    await eventually(noted(ledger, "started"), "the run starts")

    await runs.cancel(handle)
    assert (await handle.retrieve()).status == "CANCELED"
    # What it does after that counts for nothing.
    (tmp_path / "ledger.gate").touch()

    await eventually(noted(ledger, *CLEANED), "the function passes its except clause for errors, and ends")
    shown = await handle.retrieve()
    assert (shown.status, shown.related_runs.children) == ("CANCELED", None)


@pytest.mark.in_memory
async def test_cancelled_plain_run_leaves_its_wait_with_its_child(run: Run, tmp_path: Path) -> None:
    ledger, below = tmp_path / "ledger", tmp_path / "ledger.child"
    handle = await tasks.trigger("cancellable-waiting", str(ledger))
    await eventually(noted(below, "started"), "the child starts")

    await runs.cancel(handle)

    await eventually(noted(ledger, *CLEANED), "the parent cleans up")
    await eventually(noted(below, *CLEANED), "the child cleans up")
    assert [(await runs.retrieve(each)).status for each in await descendants(handle)] == ["CANCELED"]


async def test_cancelled_parent_leaves_its_wait(run: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    parent = await tasks.trigger("waits-for-held", str(gate))

    async def is_waiting() -> bool:
        return (await parent.retrieve()).is_waiting

    await eventually(is_waiting, "the parent is parked")
    await runs.cancel(parent)

    assert (await parent.retrieve()).status == "CANCELED"
    gate.touch()
    assert (await parent.result(20)).ok is False


@pytest.mark.in_memory
async def test_cancellation_reaches_every_generation_below(run: Run, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    eldest = await tasks.trigger("ancestor", [str(ledger), 2])
    await eventually(noted(ledger, "started"), "the youngest starts")

    await runs.cancel(eldest)

    ancestors = [f"ancestor {number} told" for number in range(3)]
    await eventually(lambda: sorted(lines(ledger)) == sorted([*CLEANED, *ancestors]), "each of them is told")
    below = [(await runs.retrieve(each)).status for each in await descendants(eldest)]
    assert below == ["CANCELED"] * 3


@pytest.mark.in_memory
@pytest.mark.parametrize("generation", [0, 1])
async def test_waiting_parent_gets_a_failed_result(run: Run, tmp_path: Path, generation: int) -> None:
    ledger = tmp_path / "ledger"
    eldest: RunHandle[Any] = await tasks.trigger("ancestor", [str(ledger), 1])
    await eventually(noted(ledger, "started"), "the youngest starts")
    below = await descendants(eldest)

    await runs.cancel(below[generation])

    assert (await eldest.result(20)).unwrap() == "TaskRunCancelledError: Canceled by user"
    await eventually(lambda: lines(ledger)[-1] == "cleaned", "the youngest cleans up")
