"""``oncue migrate``: bring the database's schema up to this package's, or say what is missing."""

import asyncio
from pathlib import Path

import click

from oncue.cli import database, options, output, settings


@click.command("migrate")
@click.option("--status", "only_status", is_flag=True, help="Say what is missing and change nothing.")
@options.folder
@options.as_json
def command(only_status: bool, folder: Path | None, as_json: bool) -> None:
    """Bring the database up to date.

    Works on DATABASE_URL, or on the embedded PostgreSQL in .oncue/. Servers do it themselves when they start; call it
    to migrate at a moment of your own choosing. Forward only, each step in a transaction.

    \b
    Examples:
      oncue migrate --status
      DATABASE_URL=postgresql://oncue:secret@db/oncue oncue migrate
    """
    if only_status:
        pending = asyncio.run(_pending(settings.folder(folder)))
        if as_json:
            output.json({"pending": pending})
        else:
            click.echo("\n".join(f"pending  {name}" for name in pending) or "up to date")
        return
    with output.working("migrating"):
        applied = asyncio.run(_migrate(settings.folder(folder)))
    if as_json:
        output.json({"applied": applied})
    else:
        click.echo("\n".join(f"applied  {name}" for name in applied) or "up to date")


async def _pending(folder: Path) -> list[str]:
    from oncue.store import migrate

    async with database.connected(folder) as connection:
        return await migrate.pending(connection)


async def _migrate(folder: Path) -> list[str]:
    from oncue.store import migrate

    async with database.connected(folder) as connection:
        return await migrate.migrate(connection)
