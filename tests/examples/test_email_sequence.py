"""The e-mail example as its README runs it: ``oncue dev`` in one process, the backend's script in another."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.commands import REPOSITORY, Commands, free_port

EXAMPLE = REPOSITORY / "examples" / "email_sequence"


@pytest.fixture
def example(oncue: Commands) -> Commands:
    """Commands in the folder of a dev server that runs the example; the backend finds it by its variables."""
    port = free_port()
    oncue.start("dev", str(EXAMPLE), "--port", str(port)).says("worker ready")
    key = (oncue.folder / ".oncue" / "secret_key").read_text().strip()
    oncue.environment.update(TRIGGER_SECRET_KEY=key, TRIGGER_API_URL=f"http://127.0.0.1:{port}")
    return oncue


def _send(example: Commands, *users: str) -> list[str]:
    """Run the backend's script and return the ids of the runs that it triggered."""
    done = subprocess.run(
        [sys.executable, EXAMPLE / "send.py", *users],
        cwd=example.folder,
        env=example.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def _outbox(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "outbox.jsonl").read_text().splitlines()
    return [(email["to"], email["subject"]) for email in map(json.loads, lines)]


def test_each_user_gets_both_emails_in_order(example: Commands) -> None:
    users = {"ann@example.com": "Ann", "bob@example.com": "Bob", "cem@example.com": "Cem"}

    ids = _send(example, *(f"{email}:{name}" for email, name in users.items()))

    assert len(ids) == 3
    for run_id, email in zip(ids, users, strict=True):
        assert _ended(example, run_id)["output"] == {"to": email, "emails_sent": 2}
    sent = _outbox(example.folder)
    assert len(sent) == 6
    for email, name in users.items():
        subjects = [subject for to, subject in sent if to == email]
        assert subjects == [f"Welcome, {name}", "Three things to try first"]


def test_address_without_at_fails_without_retry(example: Commands) -> None:
    (run_id,) = _send(example, "nobody:Nobody")

    # The sequence itself may try again; the e-mail's own run does not.
    run = example.json("runs", "list", "--task", "send-email")
    while not run or not run[0]["isCompleted"]:
        run = example.json("runs", "list", "--task", "send-email")

    failed = example.json("runs", "show", run[-1]["id"])
    assert (failed["status"], failed["attemptCount"]) == ("FAILED", 1)
    assert failed["error"]["message"] == "'nobody' is no address"
    assert example.json("runs", "cancel", run_id)["status"] == "CANCELED"


def _ended(example: Commands, run_id: str) -> dict[str, object]:
    run: dict[str, object] = {"isCompleted": False}
    while not run["isCompleted"]:
        run = example.json("runs", "show", run_id)
    return run
