"""Stack: a server and workers as processes beside the one that a person called, for ``oncue dev`` and ``oncue demo``.

The server process owns the embedded PostgreSQL, so both come and go together.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from oncue.cli import output, settings
from oncue.cli.children import Child
from oncue.cli.failures import ChildFailed


class Place(NamedTuple):
    """Where a server shall be, and with which key it is spoken to."""

    folder: Path
    host: str
    port: int
    key: str


class Served(NamedTuple):
    """A server that accepts requests."""

    url: str
    key: str
    process: Child


class _Told(msgspec.Struct):
    url: str


@contextlib.asynccontextmanager
async def served(place: Place, environment: Mapping[str, str | None]) -> AsyncIterator[Served]:
    """Run a server for as long as the block runs.

    Args:
        place: Its key is accepted from the start.
        environment: Further variables for the server's process.

    Raises:
        ChildFailed: It could not start; it has said why on standard error.
    """
    with output.working("starting PostgreSQL and the server"):
        process = await Child.start(
            "server", "--json", "--folder", str(place.folder), "--host", place.host, "--port", str(place.port),
            environment={settings.BOOTSTRAP_KEY.name: place.key, **environment}, tells=True,
        )  # fmt: skip
        try:
            told = await process.told()
        except asyncio.CancelledError:
            await process.stop()
            raise
    if told is None:
        raise ChildFailed(f"the server did not start (exit code {await process.ended()})")
    try:
        yield Served(msgspec.json.decode(told, type=_Told).url, place.key, process)
    finally:
        await process.stop()


async def start_worker(served_: Served, *arguments: str, log: str) -> Child:
    """Start a worker for a server.

    Args:
        served_: The server.
        arguments: What follows ``oncue worker``.
        log: Least important events that it logs.
    """
    return await Child.start(
        "worker",
        *arguments,
        environment={
            "TRIGGER_API_URL": served_.url,
            "TRIGGER_SECRET_KEY": served_.key,
            settings.LOG.name: log,
        },
    )
