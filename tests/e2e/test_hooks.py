"""Hooks are called as runs begin and end, in order, and change nothing that they should not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oncue import runs, tasks
from oncue.sdk.run import Run
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import LONG_S, Program, Stack, called, eventually


@pytest.fixture(scope="session")
def hooked_worker(shared_stack: Stack) -> Program:
    return shared_stack.start_worker("tests.e2e.programs.hooked")


@pytest.fixture
async def backend(shared_stack: Stack, hooked_worker: Program) -> AsyncIterator[Stack]:
    await hooked_worker.announced()
    with called(shared_stack.server):
        yield shared_stack


async def ran(task_id: str, ledger: Path, way: str) -> tuple[Run, list[str]]:
    handle = await tasks.trigger(task_id, [str(ledger), way])
    ended = await runs.poll(handle, interval=0.02, timeout=LONG_S)
    return ended, lines(ledger)


@pytest.mark.parametrize("task_id", ["hooked", "hooked-plain"])
async def test_success_is_told_in_order(backend: Stack, tmp_path: Path, task_id: str) -> None:
    ended, noted = await ran(task_id, tmp_path / "ledger", "")

    assert (ended.status, ended.output) == ("COMPLETED", 7)
    assert noted == [
        f"all start {task_id}",
        "start 1",
        "in",
        "in",
        "run 1",
        "out",
        "out",
        "success 7",
        "all complete 7 NoneType",
        "complete",
    ]


@pytest.mark.parametrize("task_id", ["hooked", "hooked-plain"])
async def test_failure_is_told_after_the_last_attempt(backend: Stack, tmp_path: Path, task_id: str) -> None:
    ended, noted = await ran(task_id, tmp_path / "ledger", "bad")

    assert (ended.status, ended.attempt_count) == ("FAILED", 2)
    assert [line for line in noted if line not in ("in", "out")] == [
        f"all start {task_id}",
        "start 1",
        "run 1",
        "catch bad",
        "run 2",
        "catch bad",
        "failure bad",
        "all complete None ValueError",
        "complete",
    ]
    assert ended.error is not None
    assert "lifecycle.py" not in (ended.error.stack_trace or "")
    assert "hooked.py" in (ended.error.stack_trace or "")


@pytest.mark.parametrize("task_id", ["hooked", "hooked-plain"])
async def test_caught_error_may_end_the_run_or_choose_its_retry(backend: Stack, tmp_path: Path, task_id: str) -> None:
    skipped, noted = await ran(task_id, tmp_path / "skipped", "skip")
    later, _ = await ran(task_id, tmp_path / "later", "later")

    assert (skipped.status, skipped.attempt_count) == ("FAILED", 1)
    assert skipped.error is not None
    assert (skipped.error.name, skipped.error.message) == ("AbortRun", "skipped")
    assert "ValueError: skip" in (skipped.error.stack_trace or "")
    assert "failure skipped" in noted
    assert (later.status, later.attempt_count) == ("FAILED", 2)


async def test_cancellation_is_told_and_nothing_else(backend: Stack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    handle = await tasks.trigger("hooked", [str(ledger), "stay"])
    await eventually(lambda: "run 1" in lines(ledger), "it runs")

    await runs.cancel(handle)

    await eventually(lambda: "cancel" in lines(ledger), "the hook hears of it")
    assert lines(ledger)[-3:] == ["out", "out", "cancel"]


async def test_hook_that_raises_is_logged(backend: Stack, hooked_worker: Program, tmp_path: Path) -> None:
    await ran("hooked", tmp_path / "ledger", "")

    await eventually(lambda: "hook.failed" in hooked_worker.said, "it is logged")
    assert "LookupError" in hooked_worker.said


async def test_hook_of_a_plain_task_that_awaits_is_refused(backend: Stack, tmp_path: Path) -> None:
    ended, _ = await ran("hooked-wrongly", tmp_path / "ledger", "")

    assert ended.error is not None
    assert (ended.status, ended.error.name) == ("FAILED", "TypeError")
    assert "make the hook a plain function" in ended.error.message
