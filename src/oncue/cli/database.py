"""Database: which PostgreSQL a command works on.

``DATABASE_URL`` names one; without it, the embedded one in the folder is started, or joined where another command of
ours runs it, and stopped again by whoever started it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from oncue.cli import output, settings

if TYPE_CHECKING:
    from oncue.store.pool import Connection


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[str]:
    """Lend the DSN of a PostgreSQL that runs.

    Args:
        folder: Of the embedded one, which lies in ``postgres`` below.

    Raises:
        SettingsError: ``DATABASE_URL`` is no DSN.
        EmbeddedError: The embedded PostgreSQL cannot be started.
    """
    url = settings.database_url()
    if url is not None:
        yield url
        return
    from oncue.store.embedded import EmbeddedPostgres

    postgres = EmbeddedPostgres(folder / "postgres", join=True)
    with output.working("starting PostgreSQL"):
        await postgres.start()
    try:
        yield postgres.url
    finally:
        await postgres.stop()


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator["Connection"]:
    """Lend one connection, outside a transaction.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    from oncue.store.pool import connect

    async with opened(folder) as url:
        connection = await connect(url)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def migrated(folder: Path) -> AsyncIterator["Connection"]:
    """Lend one connection to a database with today's schema and the default project, outside a transaction."""
    from oncue.engine import environments
    from oncue.store.migrate import migrate

    async with connected(folder) as connection:
        await migrate(connection)
        async with connection.transaction(isolation="read_committed"):
            await environments.ensure_default_project(connection)
        yield connection
