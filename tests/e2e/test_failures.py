"""Runs fail and are retried as their tasks and callers say."""

import datetime
from pathlib import Path

import pytest

from oncue import ShownError, runs, tasks
from oncue.sdk.run import Run as Shown
from tests.e2e.conftest import Run
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import Stack


async def _ended(task_id: str, *payload: object, **options: int) -> Shown:
    handle = await tasks.trigger(task_id, *payload, max_attempts=options.get("max_attempts"))
    return await runs.poll(handle, interval=0.02, timeout=20)


@pytest.mark.parametrize("task_id", ["fails-until", "fails-until-plain"])
async def test_failed_attempts_are_retried_until_one_succeeds(run: Run, task_id: str) -> None:
    ended = await _ended(task_id, 3)

    assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", 3, 3)


async def test_attempts_end_with_the_last_error(run: Run) -> None:
    ended = await _ended("fails-until", 9)

    assert (ended.status, ended.attempt_count) == ("FAILED", 4)
    assert ended.error is not None
    assert (ended.error.name, ended.error.message) == ("ConnectionError", "attempt 4")


async def test_max_attempts_of_the_call_wins(run: Run) -> None:
    once, five = await _ended("fails-until", 9, max_attempts=1), await _ended("fails-until", 5, max_attempts=5)

    assert (once.status, once.attempt_count) == ("FAILED", 1)
    assert (five.status, five.output) == ("COMPLETED", 5)


async def test_waits_between_attempts_grow(run: Run, tmp_path: Path) -> None:
    await _ended("notes-attempts", str(tmp_path / "ledger"))

    first, second, third = (float(line) for line in lines(tmp_path / "ledger"))
    assert second - first >= 0.2
    assert third - second >= 0.4


async def test_retry_after_chooses_the_moment(run: Run) -> None:
    begun = datetime.datetime.now(datetime.UTC)
    ended = await _ended("chooses-the-moment", "x")

    assert (ended.status, ended.output) == ("COMPLETED", 2)
    # The task's own first wait would be a minute.
    assert datetime.datetime.now(datetime.UTC) - begun < datetime.timedelta(seconds=20)


async def test_abort_fails_without_another_attempt(run: Run) -> None:
    ended = await _ended("gives-up")

    assert (ended.status, ended.attempt_count) == ("FAILED", 1)
    assert ended.error is not None
    assert (ended.error.name, ended.error.message) == ("AbortRun", "the account is closed")


async def test_task_without_retry_fails_at_once(run: Run) -> None:
    ended = await _ended("fails-once")

    assert (ended.status, ended.attempt_count) == ("FAILED", 1)


@pytest.mark.parametrize(
    ("payload", "named"), [({"address": "x"}, "weight"), ({"address": "x", "weight": "2"}, "weight")]
)
async def test_payload_that_does_not_fit_fails_without_retry(run: Run, payload: dict[str, str], named: str) -> None:
    ended = await _ended("weigh", payload)

    assert (ended.status, ended.attempt_count) == ("FAILED", 1)
    assert ended.error is not None
    assert ended.error.name == "PayloadValidationError"
    assert "'weigh'" in ended.error.message
    assert named in ended.error.message


@pytest.mark.parametrize(
    ("task_id", "name"), [("exits", "SystemExit"), ("interrupts", "KeyboardInterrupt"), ("unstorable", "TypeError")]
)
async def test_rude_endings_fail_the_run_only(run: Run, task_id: str, name: str) -> None:
    ended = await _ended(task_id)

    assert ended.status == "FAILED"
    assert isinstance(ended.error, ShownError)
    assert ended.error.name == name
    assert await run("double", 1) == 2


async def test_unknown_task_waits_for_a_worker_that_has_it(run: Run, backend: Stack, tmp_path: Path) -> None:
    (tmp_path / "late_tasks.py").write_text(
        "from oncue import task\n\n\n@task\nasync def late(payload: int) -> int:\n    return payload + 1\n"
    )
    handle = await tasks.trigger("late", 1)
    before = await handle.retrieve()

    worker = backend.start_worker(str(tmp_path / "late_tasks.py"))
    try:
        assert (await handle.result(20)).unwrap() == 2
        assert (before.status, before.is_queued) == ("PENDING_VERSION", True)
    finally:
        worker.end()
