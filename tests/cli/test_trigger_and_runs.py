"""Runs from the terminal, against a real server and a real worker."""

import json

import pytest

from tests.fixtures.commands import Commands

TASKS = """
from oncue import task

@task
def greet(name: str) -> str:
    return f"hello {name}"

@task
def fail(reason: str) -> None:
    raise ValueError(reason)
"""


@pytest.fixture
def working(served: Commands) -> Commands:
    """Commands beside a server and a worker that can greet and fail."""
    (served.folder / "tasks.py").write_text(TASKS)
    served.start("worker", "tasks.py")
    return served


def test_wait_prints_the_output_and_succeeds(working: Commands) -> None:
    done = working("trigger", "greet", '"Ann"', "--wait")
    run = working.json("trigger", "greet", '"Bob"', "--wait")

    assert done.returncode == 0
    assert "COMPLETED" in done.stdout
    assert '"hello Ann"' in done.stdout
    assert (run["status"], run["output"]) == ("COMPLETED", "hello Bob")


def test_wait_for_a_failing_run_exits_with_one(working: Commands) -> None:
    done = working("trigger", "fail", '"no luck"', "--wait")

    assert done.returncode == 1
    assert "ValueError: no luck" in done.stdout
    assert "tasks.py" in done.stdout


@pytest.mark.parametrize("name", ["-", "@payload.json"])
def test_payload_comes_from_file_or_standard_input(working: Commands, name: str) -> None:
    (working.folder / "payload.json").write_text('"Zoë"', encoding="utf-8")

    done = working("trigger", "greet", name, "--wait", "--json", stdin='"Zoë"')

    assert json.loads(done.stdout)["output"] == "hello Zoë"


def test_options_reach_the_run_they_are_for(served: Commands) -> None:
    options = "--queue slow --delay 1h --tag a --tag b --max-attempts 3 --priority 5 --concurrency-key ann"

    run_id = served("trigger", "greet", '"Ann"', *options.split()).stdout.strip()

    run = served.json("runs", "show", run_id)
    assert (run["status"], run["queue"], run["tags"], run["priority"]) == ("DELAYED", "slow", ["a", "b"], 5)


def test_list_finds_runs_by_status_task_and_tag(served: Commands) -> None:
    one = served.json("trigger", "one", "--tag", "red")["id"]
    two = served.json("trigger", "two", "--tag", "red", "--delay", "1h")["id"]
    served.json("trigger", "two", "--tag", "blue")

    def found(*filters: str) -> list[str]:
        return [run["id"] for run in served.json("runs", "list", *filters)]

    assert found("--tag", "red") == [two, one]
    assert found("--tag", "red", "--status", "delayed") == [two]
    assert found("--task", "one", "--task", "none") == [one]
    assert len(found("--limit", "2")) == 2
    shown = served("runs", "list", "--tag", "red").stdout
    assert one in shown
    assert "DELAYED" in shown


def test_cancel_ends_a_run_once_and_for_all(served: Commands) -> None:
    run_id = served.json("trigger", "greet", "--delay", "1h")["id"]

    assert served.json("runs", "cancel", run_id) == {"id": run_id, "status": "CANCELED"}
    assert served("runs", "cancel", run_id).stdout == f"{run_id} is cancelled\n"


def test_cancel_leaves_a_run_that_has_ended(working: Commands) -> None:
    run_id = working.json("trigger", "greet", '"Ann"', "--wait")["id"]

    assert working("runs", "cancel", run_id).stdout == f"{run_id} stays COMPLETED: it had ended\n"


def test_unknown_run_is_an_error(served: Commands) -> None:
    missing = "run_" + "0" * 26

    for command in ("show", "cancel"):
        done = served("runs", command, missing)
        assert (done.returncode, done.stdout) == (1, "")
        assert missing in done.stderr


def test_senseless_delay_is_refused_before_any_request(served: Commands) -> None:
    done = served("trigger", "greet", "--delay", "soon")

    assert done.returncode == 2
    assert "delay='soon'" in done.stderr
    assert served.json("runs", "list") == []
