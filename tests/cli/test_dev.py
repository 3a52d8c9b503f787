"""``oncue dev``: everything on one machine, anew on change, and gone after Ctrl-C."""

import os
import re
import signal
import stat
from pathlib import Path

import pytest

from tests.fixtures.commands import REPOSITORY, Commands, Started, free_port, is_open, until
from tests.fixtures.embedded import is_running, server_pid

TASKS = """
from oncue import task

@task
def greet(name: str) -> str:
    return f"hello {name}"
"""


class Dev:
    """A project with ``oncue dev`` running in it."""

    def __init__(self, oncue: Commands) -> None:
        self.oncue, self.port = oncue, free_port()
        self.tasks = oncue.folder / "tasks.py"
        self.tasks.write_text(TASKS)
        self.started: Started = oncue.start("dev", "--port", str(self.port))
        self.started.says("worker ready")
        self.postgres = server_pid(oncue.folder / ".oncue" / "postgres")

    def change(self, source: str, expected: str) -> None:
        """Write the tasks anew and wait until dev has said something that it had not said before."""
        seen = self.started.output.count(expected)
        self.tasks.write_text(source)
        until(lambda: self.started.output.count(expected) > seen, f"{expected!r} after a change")

    def is_gone(self) -> bool:
        return not (self.started.relatives() or is_open(self.port) or is_running(self.postgres))


@pytest.fixture
def dev(oncue: Commands) -> Dev:
    return Dev(oncue)


def test_commands_beside_it_need_no_settings(dev: Dev) -> None:
    run = dev.oncue.json("trigger", "greet", '"Ann"', "--wait")

    assert run["output"] == "hello Ann"
    assert dev.oncue.json("runs", "list")[0]["id"] == run["id"]
    said = dev.started.says(f"✓ greet  {run['id']}")
    assert f"▶ greet  {run['id']}" in said


def test_panel_names_address_and_key(dev: Dev) -> None:
    key = (dev.oncue.folder / ".oncue" / "secret_key").read_text().strip()

    said = dev.started.output

    assert f"http://127.0.0.1:{dev.port}" in said
    assert f"TRIGGER_SECRET_KEY={key}" in said
    assert (
        dev.oncue("runs", "list", TRIGGER_SECRET_KEY=key, TRIGGER_API_URL=f"http://127.0.0.1:{dev.port}").returncode
        == 0
    )


def test_change_of_the_code_counts_for_the_next_run(dev: Dev) -> None:
    dev.change(TASKS.replace("hello", "welcome"), "worker ready")

    assert dev.oncue.json("trigger", "greet", '"Ann"', "--wait")["output"] == "welcome Ann"
    assert "tasks.py changed; starting the worker again" in dev.started.output


def test_broken_code_is_told_and_its_repair_taken(dev: Dev) -> None:
    dev.change("def broken(:\n", "the worker cannot run this code; waiting for a change")
    assert "error: cannot import tasks.py: SyntaxError: " in dev.started.output
    assert "(tasks.py:1)" in dev.started.output

    dev.change(TASKS, "worker ready")

    assert dev.oncue.json("trigger", "greet", '"Ann"', "--wait")["output"] == "hello Ann"


def test_run_under_way_starts_again_on_the_new_code(dev: Dev) -> None:
    slow = TASKS.replace("    return", "    import time; time.sleep(60)\n    return")
    dev.change(slow, "worker ready")
    run_id = dev.oncue.json("trigger", "greet", '"Ann"')["id"]
    dev.started.says(f"▶ greet  {run_id}")

    dev.change(TASKS, "worker ready")

    dev.started.says(f"✓ greet  {run_id}")
    assert dev.oncue.json("runs", "show", run_id)["output"] == "hello Ann"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_running(dev: Dev, number: signal.Signals) -> None:
    assert len(dev.started.relatives()) == 2

    assert dev.started.stop(number) == 0

    assert dev.is_gone()
    assert dev.started.output.rstrip().endswith("stopped")
    assert not (dev.oncue.folder / ".oncue" / "api_url").exists()


def test_killed_it_leaves_nothing_running(dev: Dev) -> None:
    dev.started.process.kill()

    until(dev.is_gone, "server, worker and PostgreSQL to follow")


def test_key_is_private_and_stays_the_same(oncue: Commands) -> None:
    first = Dev(oncue)
    path = oncue.folder / ".oncue" / "secret_key"
    key, mode = path.read_text(), stat.S_IMODE(path.stat().st_mode)
    first.started.stop()

    Dev(oncue)

    assert path.read_text() == key
    assert re.fullmatch(r"tr_dev_sk_[A-Za-z0-9]{24}\n", key)
    assert mode == 0o600


def test_server_that_dies_ends_it_with_a_line(dev: Dev) -> None:
    (server,) = [pid for pid in dev.started.relatives() if b"\0server\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    os.kill(server, signal.SIGKILL)

    assert dev.started.process.wait(45) == 1
    assert "error: the server ended with exit code -9" in dev.started.output
    until(dev.is_gone, "the worker and PostgreSQL to follow")


def test_worker_that_crashes_is_started_again(dev: Dev) -> None:
    (worker,) = [pid for pid in dev.started.relatives() if b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    os.kill(worker, signal.SIGKILL)

    dev.started.says("the worker was killed by SIGKILL; starting another")
    assert dev.oncue.json("trigger", "greet", '"Ann"', "--wait")["output"] == "hello Ann"


def test_without_tasks_it_says_what_to_pass(oncue: Commands) -> None:
    done = oncue("dev")

    assert done.returncode == 1
    assert done.stderr == (
        "error: found no tasks.py here; pass a module (my_app.tasks), a file (tasks.py) or a folder, for instance "
        "`oncue dev my_app/tasks.py`\n"
    )


def test_with_tasks_in_several_places_it_asks_which(oncue: Commands) -> None:
    for name in ("shop", "blog"):
        (oncue.folder / name).mkdir()
        (oncue.folder / name / "tasks.py").touch()

    assert oncue("dev").stderr == (
        "error: found blog/tasks.py, shop/tasks.py; say which, for instance `oncue dev blog/tasks.py`\n"
    )
    assert "nowhere.py does not exist" in oncue("dev", "nowhere.py").stderr


def test_server_without_dev_key_is_not_spoken_to(oncue: Commands) -> None:
    folder = oncue.folder / ".oncue"
    folder.mkdir()
    (folder / "secret_key").write_text("not a key")

    assert "holds no dev key; remove the file" in oncue("runs", "list").stderr


def test_make_dev_points_at_an_example_that_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()

    (target,) = re.findall(r"oncue dev (\S+)", makefile)

    assert (REPOSITORY / target / "tasks.py").exists()
