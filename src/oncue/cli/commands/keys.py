"""``oncue keys``: make, list and revoke secret keys, and rotate the key that signs tokens, in the database itself.

No key is needed for that: who can reach the database may do it. Running servers are told at once.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncue.cli import database, options, output, settings

if TYPE_CHECKING:
    from oncue.engine.environments import KeyRow, NewKey
    from oncue.store.pool import Tx


@click.group("keys")
def command() -> None:
    """Make, list and revoke secret keys.

    Works on DATABASE_URL, or on the embedded PostgreSQL in .oncue/, where `oncue dev` and `oncue server` keep it.

    \b
    Examples:
      oncue keys create prod --name backend
      oncue keys list
      oncue keys revoke 3
      oncue keys rotate-signing
    """


@command.command("create")
@click.argument("environment", metavar="ENV")
@click.option("--name", default="", help="What it is for, to tell it from others.")
@options.folder
@options.as_json
def create(environment: str, name: str, folder: Path | None, as_json: bool) -> None:
    """Make a secret key for an environment, dev or prod, and show it once.

    \b
    Example:
      export TRIGGER_SECRET_KEY=$(oncue keys create prod --name backend)
    """
    made = asyncio.run(_create(settings.folder(folder), environment, name))
    if as_json:
        output.json({"id": made.id, "environment": made.environment, "name": made.name, "secret": made.secret})
        return
    click.echo(made.secret)
    output.note(f"key {made.id} of {made.environment}; it is not shown again")


@command.command("list")
@options.folder
@options.as_json
def list_(folder: Path | None, as_json: bool) -> None:
    """List all keys, newest first; of each, the end of its secret."""
    rows = asyncio.run(_list(settings.folder(folder)))
    if as_json:
        output.json(rows)
        return
    if not rows:
        output.note("no keys yet; make one with `oncue keys create dev`")
        return
    shown = output.table("id", "environment", "name", "secret", "made", "state")
    for row in rows:
        state = "in force" if row.revoked_at is None else f"revoked {output.age(row.revoked_at)}"
        style = None if row.revoked_at is None else "bright_black"
        cells = (str(row.id), row.environment, row.name, f"…{row.hint}", output.age(row.created_at), state)
        shown.add_row(*cells, style=style)
    output.console().print(shown)


@command.command("revoke")
@click.argument("key", type=click.IntRange(1), metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.folder
@options.as_json
def revoke(key: int, yes: bool, folder: Path | None, as_json: bool) -> None:
    """Revoke a key; whoever uses it, or a public access token made with it, is refused from now on.

    ID is the number that `oncue keys list` shows.
    """
    from oncue.cli.failures import CommandFailed

    if not yes:
        _confirm(key)
    if not asyncio.run(_revoke(settings.folder(folder), key)):
        raise CommandFailed(f"there is no key {key} in force; see `oncue keys list`")
    if as_json:
        output.json({"revoked": key})
    else:
        click.echo(f"key {key} is revoked")


@command.command("rotate-signing")
@click.option("--at-once", is_flag=True, help="Refuse every token signed so far, as if the key had leaked.")
@click.option("--yes", is_flag=True, help="Do not ask, with --at-once.")
@options.folder
@options.as_json
def rotate_signing(at_once: bool, yes: bool, folder: Path | None, as_json: bool) -> None:
    """Have public access tokens signed with another key from now on.

    Tokens signed with the old one count until they expire, at most 30 days, unless --at-once is given. Secret keys stay
    as they are.
    """
    if at_once and not yes:
        _agree("Refuse every public access token made so far?", "the signing key was not rotated", "rotate")
    kid = asyncio.run(_rotate(settings.folder(folder), at_once=at_once))
    if as_json:
        output.json({"signing_key": kid, "at_once": at_once})
    else:
        click.echo(f"tokens are signed with key {kid} from now on; {_said(at_once=at_once)}")


def _said(*, at_once: bool) -> str:
    return "those of before are refused" if at_once else "those of before count until they expire"


def _confirm(key: int) -> None:
    question = f"Revoke key {key}? Whoever uses it, or a token made with it, is refused from now on"
    _agree(question, f"key {key} was not revoked", "revoke")


def _agree(question: str, otherwise: str, verb: str) -> None:
    from oncue.cli.failures import CommandFailed

    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as no_answer:
        click.echo(err=True)
        raise CommandFailed(f"{otherwise}: nobody agreed; pass --yes to {verb} without asking") from no_answer
    if not agreed:
        raise CommandFailed(f"{otherwise}: you did not agree")


async def _create(folder: Path, environment: str, name: str) -> "NewKey":
    from oncue.engine import environments

    async with database.migrated(folder) as connection, connection.transaction(isolation="read_committed"):
        made = await environments.create_key(connection, environment, name=name)
        await _tell_servers(connection)
    return made


async def _list(folder: Path) -> "list[KeyRow]":
    from oncue.engine import environments

    async with database.migrated(folder) as connection:
        return await environments.list_keys(connection)


async def _revoke(folder: Path, key: int) -> bool:
    from oncue.engine import environments

    async with database.migrated(folder) as connection, connection.transaction(isolation="read_committed"):
        was_in_force = await environments.revoke_key(connection, key)
        await _tell_servers(connection)
    return was_in_force


async def _rotate(folder: Path, *, at_once: bool) -> str:
    from oncue.engine import signing_keys

    async with database.migrated(folder) as connection, connection.transaction(isolation="read_committed"):
        kid = await signing_keys.rotate(connection, at_once=at_once)
        await _tell_servers(connection)
    return kid


async def _tell_servers(tx: "Tx") -> None:
    """Make running servers ask for keys anew; PostgreSQL delivers it with the commit."""
    import msgspec

    from oncue.api.wakeups import CHANNEL, Hint
    from oncue.store.listen import notify

    await notify(tx, CHANNEL, msgspec.json.encode(Hint("cli", keys_changed=True)).decode())
