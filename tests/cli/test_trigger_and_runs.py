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


def test_every_other_option_reaches_the_run_too(served: Commands) -> None:
    options = (
        "--ttl 1h --idempotency-key k --idempotency-key-ttl 2h --max-duration 5m --machine micro --region eu-1"
        " --version 20300131.1"
    )
    held = served.json("trigger", "greet", '"Ann"', "--debounce", "d", "--debounce-delay", "1h")
    again = served.json("trigger", "greet", '"Bob"', "--debounce", "d", "--debounce-delay", "1h")

    first = served("trigger", "greet", '"Ann"', *options.split(), "--metadata", '{"of": 1}').stdout.strip()
    second = served("trigger", "greet", '"Bob"', "--idempotency-key", "k").stdout.strip()
    run = served.json("runs", "show", first)

    assert held["id"] == again["id"]
    assert first == second
    assert (run["ttl"], run["machine"], run["region"], run["version"]) == ("1h", "micro", "eu-1", "20300131.1")
    assert run["metadata"] == {"of": 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--debounce", "d"], "--debounce and --debounce-delay go together"),
        (["--metadata", "{"], "--metadata is not JSON"),
        (["--metadata", "[]"], "metadata="),
        (["--machine", "huge"], "small-1x"),
    ],
)
def test_options_that_make_no_sense_are_refused(served: Commands, options: list[str], told: str) -> None:
    done = served("trigger", "greet", '"Ann"', *options)

    assert done.returncode == 2
    assert told in done.stderr


def test_runs_are_rescheduled_and_replayed(served: Commands) -> None:
    run_id = served("trigger", "greet", '"Ann"', "--delay", "1h", "--tag", "first").stdout.strip()

    later = served("runs", "reschedule", run_id, "2030-01-01T12:00:00Z")
    refused = served("runs", "reschedule", run_id, "soon")
    copy = served("runs", "replay", run_id, "--tag", "again", "--delay", "2h").stdout.strip()
    run = served.json("runs", "show", copy)
    silent = served("runs", "logs", copy)

    assert later.stdout == f"{run_id} is held until 2030-01-01 12:00:00 UTC\n"
    assert (refused.returncode, "delay='soon'" in refused.stderr) == (2, True)
    assert (run["payload"], run["tags"], run["status"]) == ("Ann", ["again"], "DELAYED")
    assert run["replayedFrom"] == run_id
    assert (silent.stdout, "has logged nothing" in silent.stderr) == ("", True)
    assert served.json("runs", "logs", copy) == []


def test_run_that_no_worker_can_take_says_what_it_waits_for(served: Commands) -> None:
    run_id = served("trigger", "nobody-has-it", "--region", "eu").stdout.strip()

    shown = served("runs", "show", run_id).stdout
    said = " ".join(shown.split())
    assert "no worker that has task 'nobody-has-it'" in said


def test_queues_are_paused_and_limited_from_the_terminal(served: Commands) -> None:
    empty = served("queues", "list")
    served("trigger", "greet", '"Ann"', "--queue", "mail")

    paused = served("queues", "pause", "mail")
    limited = served.json("queues", "limit", "mail", "2")
    shown = served("queues", "show", "mail")
    resumed = served.json("queues", "resume", "mail")
    reset = served.json("queues", "reset-limit", "mail")
    refused = served("queues", "limit", "mail", "100001")
    unknown = served("queues", "show", "nowhere")

    assert "no queues yet" in empty.stderr
    assert ("mail" in paused.stdout, "paused" in paused.stdout) == (True, True)
    assert (limited["concurrencyLimit"], limited["paused"]) == (2, True)
    assert "2 (code: none)" in shown.stdout
    assert (resumed["paused"], reset["concurrencyLimit"]) == (False, None)
    assert (refused.returncode, unknown.returncode) == (2, 1)
    assert "expected a whole number from 0" in refused.stderr
    assert [queue["name"] for queue in served.json("queues", "list")] == ["mail"]


def test_large_documents_are_cut_for_people(working: Commands) -> None:
    (working.folder / "large.json").write_text(json.dumps("x" * 600_000))

    done = working("trigger", "greet", "@large.json", "--wait")

    assert done.returncode == 0
    assert len(done.stdout) < 30_000
    assert done.stdout.count("--json writes the run whole") == 2
