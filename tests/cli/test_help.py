"""What every command says of itself."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.fixtures.commands import Commands

COMMANDS = ["dev", "demo", "server", "worker", "trigger", "runs", "keys", "migrate", "keys create"]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(oncue: Commands, command: str) -> None:
    done = oncue(*command.split(), "--help")

    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: oncue {command}")
    assert "Example" in done.stdout
    assert f"  oncue {command}" in done.stdout or f"$(oncue {command}" in done.stdout


def test_list_of_commands_names_every_one(oncue: Commands) -> None:
    said = oncue("--help").stdout

    assert all(f"\n  {command} " in said for command in COMMANDS if " " not in command)


def test_help_loads_neither_server_nor_terminal_packages() -> None:
    program = """
import sys
from oncue.cli import app
app.run(["--help"])
slow = {"aiohttp", "asyncio", "asyncpg", "msgspec", "rich", "starlette", "urllib3", "uvicorn"}
print(sorted(slow & set(sys.modules)))
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_no_command_shows_help_and_counts_as_misuse(oncue: Commands) -> None:
    done = oncue()

    assert done.returncode == 2
    assert "Commands:" in done.stderr


def test_python_m_oncue_is_the_same_program(oncue: Commands) -> None:
    done = subprocess.run([sys.executable, "-m", "oncue", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == oncue("--version").stdout
    assert done.stdout.startswith(f"oncue {version('oncue')} ")


def test_reader_that_leaves_early_causes_no_traceback(oncue: Commands) -> None:
    done = subprocess.run(
        ["bash", "-c", "oncue --help | true; echo ${PIPESTATUS[0]}"],
        env={**oncue.environment, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Traceback" not in done.stderr
