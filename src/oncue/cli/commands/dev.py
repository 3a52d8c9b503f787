"""``oncue dev``: PostgreSQL, a server and a worker on this machine, the worker anew whenever the code changes.

This process starts the other two, watches files, and stops everything in order: the worker first, so that it can hand
its runs back, then the server with its PostgreSQL.
"""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from oncue.cli import local, options, output, settings, targets
from oncue.cli.failures import CommandFailed
from oncue.cli.signals import run_until_stopped
from oncue.sdk.settings import DEFAULT_API_URL

if TYPE_CHECKING:
    from oncue.cli.children import Child
    from oncue.cli.stack import Served
    from oncue.cli.watching import Watcher

_GRACE: Final = "3s"
"""Runs that take longer are handed back and start again on the next worker; nobody wants to wait for a reload."""
_PAUSE_S: Final = 1.0
"""Before a worker that crashed is started again."""
_NAMED: Final = 3
"""Files that a message names."""


@click.command("dev")
@click.argument("target", required=False, metavar="[MODULE|FILE|FOLDER]")
@options.port
@options.host
@options.folder
def command(target: str | None, port: int | None, host: str | None, folder: Path | None) -> None:
    """Run everything on this machine: PostgreSQL, a server, and a worker that reloads on change.

    Without an argument it takes the project's tasks.py. Keeps its data in .oncue/, or in the PostgreSQL that
    DATABASE_URL names. Prints the TRIGGER_SECRET_KEY for your backend; the other commands find it by themselves.
    Ctrl-C stops everything.

    \b
    Examples:
      oncue dev
      oncue dev my_app.tasks
      oncue dev examples/email_sequence --port 3031
    """
    if target is None:
        target = targets.find(Path.cwd())
    targets.check(target)
    run_until_stopped(_dev(target, settings.host(host), settings.port(port), settings.folder(folder)))
    output.note("stopped")


async def _dev(target: str, host: str, port: int, folder: Path) -> None:
    from oncue.api import serve
    from oncue.cli import stack

    # Looked at first: a port in use is a matter of one line.
    serve.bind(host, port).close()
    place = stack.Place(folder, host, port, settings.bootstrap_key() or local.dev_key(folder))
    async with stack.served(place, {settings.LOG.name: settings.log_level("warning")}) as served:
        with local.announced(folder, served.url):
            _welcome(target, served, folder)
            await _until_server_ends(served.process, _keep_working(target, served))


def _welcome(target: str, served: "Served", folder: Path) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bright_black", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("server", Text(served.url, "bold cyan"))
    facts.add_row("tasks", f"{target}, reloaded on change")
    facts.add_row("data", "DATABASE_URL" if settings.database_url() else f"{folder}/")
    facts.add_row("key", Text(f"TRIGGER_SECRET_KEY={served.key}", "bold"))
    if served.url != DEFAULT_API_URL.replace("localhost", "127.0.0.1"):
        facts.add_row("", f"TRIGGER_API_URL={served.url}")
    facts.add_row("stop", "Ctrl-C")
    output.console().print(Panel(facts, title="oncue dev", title_align="left", border_style="cyan", expand=False))


async def _until_server_ends(server: "Child", work: Coroutine[Any, Any, None]) -> None:
    """Work until cancelled.

    Raises:
        CommandFailed: The server ended by itself.
    """
    working = asyncio.ensure_future(work)
    ending = asyncio.ensure_future(server.ended())
    try:
        await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        raise CommandFailed(f"the server ended with exit code {ending.result()}; see above, and start again")
    finally:
        for part in (working, ending):
            part.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)


async def _keep_working(target: str, served: "Served") -> None:
    """Keep a worker running on the code as it is now, until cancelled."""
    from oncue.cli.stack import start_worker
    from oncue.cli.watching import Watcher, root_of

    watcher = Watcher(root_of(target))
    while True:
        worker = await start_worker(served, target, "--grace", _GRACE, "--show-runs", log=settings.log_level("warning"))
        try:
            await _until_changed(worker, watcher)
        finally:
            await worker.stop()


async def _until_changed(worker: "Child", watcher: "Watcher") -> None:
    """Return when the worker must be started again."""
    changing = asyncio.ensure_future(watcher.changed())
    ending = asyncio.ensure_future(worker.ended())
    try:
        await asyncio.wait((changing, ending), return_when=asyncio.FIRST_COMPLETED)
        if not changing.done():
            code = ending.result()
            if code < 0:
                output.note(f"the worker was killed by {signal.Signals(-code).name}; starting another")
                await asyncio.sleep(_PAUSE_S)
                return
            output.note("the worker cannot run this code; waiting for a change")
        output.note(_told_changes(await changing))
    finally:
        for part in (changing, ending):
            part.cancel()
        await asyncio.gather(changing, ending, return_exceptions=True)


def _told_changes(files: list[str]) -> str:
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"{', '.join(files[:_NAMED])}{more} changed; starting the worker again"
