"""Lines that `oncue dev` writes for what happens to runs."""

import logging

import pytest

from oncue.cli import logs
from oncue.worker.base_execution import Stop

ENDS = ["succeeded", "failed", *(stop.name.lower() for stop in Stop)]


def _emitted(capsys: pytest.CaptureFixture[str], name: str, level: int, message: str, **extra: object) -> str:
    handler = logs._RunLines(logging.NullHandler(), logging.WARNING)
    record = logging.makeLogRecord({"name": name, "levelno": level, "msg": message, **extra})
    handler.emit(record)
    return capsys.readouterr().err


@pytest.mark.parametrize("outcome", ENDS)
def test_every_end_of_an_attempt_has_its_line(capsys: pytest.CaptureFixture[str], outcome: str) -> None:
    fields = {"task": "greet", "run_id": "run_a", "ran_ms": 5, "outcome": outcome}

    said = _emitted(capsys, "oncue", logging.DEBUG, "", event="attempt.ended", fields=fields)
    assert "greet  run_a  5 ms" in said
    assert (outcome.replace("_", " ") in said) == (outcome != "succeeded")


def test_lines_that_tasks_log_are_shown_with_their_run(capsys: pytest.CaptureFixture[str]) -> None:
    said = _emitted(capsys, "oncue.task", logging.INFO, "sent run_id=run_a to='b'")

    assert said.rstrip().endswith("· sent run_id=run_a to='b'")
    assert not _emitted(capsys, "oncue.task", logging.DEBUG, "too fine")
