"""``oncue server``: the API on a port, by one process or several.

With several, this process takes the port and holds the database; its children serve on the socket they inherit. One
that dies is started again.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from oncue.cli import database, logs, options, output, settings
from oncue.cli.children import Child
from oncue.cli.failures import ChildFailed
from oncue.cli.signals import run_until_stopped

if TYPE_CHECKING:
    from oncue.api.settings import ServerSettings

_PAUSE_S: Final = 1.0
"""Before a process that died is started again."""


@click.command("server")
@options.port
@options.host
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the port.",
)
@options.folder
@options.as_json
@click.option("--inherited-socket", type=int, hidden=True)
def command(
    port: int | None, host: str | None, processes: int, folder: Path | None, as_json: bool, inherited_socket: int | None
) -> None:
    """Serve the API.

    Keeps everything in the PostgreSQL that DATABASE_URL names; without it, in an embedded one in .oncue/. Migrates the
    database first. Any number of servers may share one database.

    \b
    Examples:
      oncue server
      DATABASE_URL=postgresql://oncue:secret@db/oncue oncue server --host 0.0.0.0 --processes 4
      ONCUE_BOOTSTRAP_SECRET_KEY=tr_dev_sk_... oncue server       accepts that key from the start
    """
    logs.set_up()
    where = (settings.host(host), settings.port(port))
    if inherited_socket is not None:
        run_until_stopped(_serve_inherited(inherited_socket, settings.folder(folder)), serves=True)
    elif processes == 1:
        run_until_stopped(_serve_alone(*where, settings.folder(folder), as_json=as_json), serves=True)
    else:
        run_until_stopped(_serve_together(*where, settings.folder(folder), processes, as_json=as_json))


async def _serve_alone(host: str, port: int, folder: Path, *, as_json: bool) -> None:
    from oncue.api import serve

    with contextlib.closing(serve.bind(host, port)) as listening:
        async with database.opened(folder) as url:
            await serve.serve(
                _server_settings(url, folder), started=lambda at: _announce(at, 1, as_json=as_json), listening=listening
            )


async def _serve_inherited(descriptor: int, folder: Path) -> None:
    from oncue.api import serve

    url = settings.database_url()
    assert url is not None, "the parent says which database"
    with contextlib.closing(socket.socket(fileno=descriptor)) as listening:
        await serve.serve(_server_settings(url, folder), started=lambda _: output.json("started"), listening=listening)


async def _serve_together(host: str, port: int, folder: Path, processes: int, *, as_json: bool) -> None:
    from oncue.api import serve

    with contextlib.closing(serve.bind(host, port)) as listening:
        async with database.opened(folder) as url:
            # Once, before any child would say it: a database that is away, or that cannot be migrated.
            async with database.migrated(folder):
                pass
            started = asyncio.Event()
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(processes):
                        group.create_task(_keep_serving(listening.fileno(), url, folder, started))
                    await started.wait()
                    _announce(serve.address(listening), processes, as_json=as_json)
            except* ChildFailed as failures:
                raise failures.exceptions[0] from None


async def _keep_serving(descriptor: int, url: str, folder: Path, started: asyncio.Event) -> None:
    """Keep one process serving until cancelled.

    Raises:
        ChildFailed: It ended before it ever served; it has said why.
    """
    while True:
        async with _serving(descriptor, url, folder) as child:
            if await child.told() is not None:
                started.set()
            code = await child.ended()
        if not started.is_set():
            raise ChildFailed(f"a server process could not start (exit code {code})")
        output.note(f"server process {child.pid} ended with exit code {code}; starting another")
        await asyncio.sleep(_PAUSE_S)


@asynccontextmanager
async def _serving(descriptor: int, url: str, folder: Path) -> AsyncIterator[Child]:
    child = await Child.start(
        "server", "--inherited-socket", str(descriptor), "--folder", str(folder),
        environment={settings.DATABASE_URL.name: url}, tells=True, shares=[descriptor],
    )  # fmt: skip
    try:
        yield child
    finally:
        await child.stop()


def _server_settings(url: str, folder: Path) -> "ServerSettings":
    from oncue.api.settings import ServerSettings
    from oncue.engine.rate_limits import RateLimit

    def rate(variable: settings.Variable) -> RateLimit | None:
        found = settings.rate_limit(variable)
        return None if found is None else RateLimit(*found)

    return ServerSettings(
        database_url=url,
        cors_origins=settings.cors_origins(),
        bootstrap_key=settings.bootstrap_key(),
        max_recoveries=settings.max_recoveries(),
        objects=settings.objects_url(folder),
        offload_bytes=settings.size_bytes(settings.OFFLOAD_BYTES),
        max_payload_bytes=settings.size_bytes(settings.MAX_PAYLOAD_BYTES),
        max_output_bytes=settings.size_bytes(settings.MAX_OUTPUT_BYTES),
        max_batch_items=settings.max_batch_items(),
        retention=settings.retention(),
        rate_limit_requests=rate(settings.RATE_LIMIT_REQUESTS),
        rate_limit_public_requests=rate(settings.RATE_LIMIT_PUBLIC_REQUESTS),
        rate_limit_batch_items=rate(settings.RATE_LIMIT_BATCH_ITEMS),
    )


def _announce(url: str, processes: int, *, as_json: bool) -> None:
    if as_json:
        output.json({"url": url, "processes": processes})
    else:
        click.echo(f"oncue serves at {url}; stop it with Ctrl-C")
