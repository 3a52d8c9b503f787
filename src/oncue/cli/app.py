"""App: the tree of commands, loaded one by one, and how a command ends.

A command's module is imported when it is called, and its heavier imports stand inside its functions, so that
``oncue --help`` is quick and a machine without the ``server`` extra can use everything that needs none.

Exit codes: 0 done; 1 it could not be done, one line on standard error says why and what to do; 2 the command line makes
no sense; 130 interrupted.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from oncue.cli import failures, output

_COMMANDS: Final = {
    "dev": "Run everything on this machine and reload on change.",
    "demo": "Watch oncue work: count the code of Python's library.",
    "server": "Serve the API.",
    "worker": "Run tasks.",
    "trigger": "Trigger a run of a task.",
    "runs": "List, show, cancel, reschedule and replay runs.",
    "queues": "See queues, pause them, override their limits.",
    "keys": "Make, list and revoke secret keys, rotate what signs tokens.",
    "migrate": "Bring the database up to date.",
}
"""Name to what the list of commands says, in the order of the list; each lives in ``commands/<name>.py``."""

_EPILOG: Final = """\b
Start here:
  oncue demo                      a tour; leaves nothing behind
  oncue dev tasks.py              your tasks, on this machine
  oncue trigger my-task '{"n": 1}' --wait

\b
In production:
  oncue server                    with DATABASE_URL
  oncue keys create prod
  oncue worker my_app.tasks       with TRIGGER_API_URL and TRIGGER_SECRET_KEY
"""


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of the list."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"oncue.cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import platform

        import oncue

        click.echo(f"oncue {oncue.__version__} (Python {platform.python_version()})")
        ctx.exit()


@click.group(
    "oncue",
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
def command() -> None:
    """Durable background tasks for Python on PostgreSQL."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return the exit code; what went wrong is said on standard error."""
    try:
        result: Any = command.main(list(arguments), prog_name="oncue", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.ctx.get_help(), err=True)
        return 2
    except click.UsageError as error:
        return _refuse(error)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough (``| head``); nothing is left to be flushed there.
        sys.stdout = None
        return 0
    except Exception as error:
        said = failures.explain(error)
        if said is None:
            raise
        if said:
            output.error(said)
        return 1
    return result if isinstance(result, int) else 0


def _refuse(error: click.UsageError) -> int:
    message = error.format_message()
    text = message[:1].lower() + message[1:].rstrip(".")
    helper = f"{error.ctx.command_path if error.ctx else 'oncue'} --help"
    output.error(f"{text}; see `{helper}`")
    return 2
