"""Migrate: bring a database's schema up to the one this package needs; forward only.

Migrations are ``oncue/sql/migrations/NNNN_name.sql``, numbered without gaps from 0001. Each runs in a transaction of
its own together with the row that records it, under an advisory lock that ends with the transaction: any number of
servers may start at once, and one that dies leaves whole migrations behind. What was applied is kept with a checksum
in ``oncue.migrations``.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

import asyncpg

from oncue import telemetry
from oncue.store.errors import MigrationChanged, MigrationError, SchemaTooNew
from oncue.store.pool import Tx

_FILE_NAME: Final = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_LOCK: Final = 0x6F6E637565  # "oncue": the advisory lock's number, the same for every version
_MAKE_LEDGER: Final = """
create schema if not exists oncue;
create table if not exists oncue.migrations (
    version int primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default statement_timestamp()
);
"""


class Migration(NamedTuple):
    """One file of SQL."""

    version: int
    """From 1."""
    name: str
    """The file's name without ``.sql``."""
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations of a folder in order; None is this package's.

    Raises:
        MigrationError: A file's name is not ``NNNN_name.sql``, or a number is missing or used twice.
    """
    folder = folder or resources.files("oncue") / "sql" / "migrations"
    found: list[Migration] = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.match(file.name)
        if match is None:
            raise MigrationError(f"{file.name} is no migration's name; call it like 0002_add_tags.sql")
        found.append(Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")))
    found.sort()
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise MigrationError(f"{migration.name} is number {expected} in its folder; number them without gaps")
    return found


async def migrate(connection: Tx, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing.

    Args:
        connection: Outside a transaction, with the right to create a schema.
        migrations: What the database shall have, in order; None is this package's.

    Returns:
        Names of the migrations applied now, in order; empty if the schema was up to date.

    Raises:
        SchemaTooNew: The database has migrations that are not in the list.
        MigrationChanged: An applied migration differs from the one in the list.
        MigrationError: A migration failed; the ones before it stay, nothing of it does.
    """
    wanted = known() if migrations is None else migrations
    applied: list[str] = []
    while (migration := await _apply_next(connection, wanted)) is not None:
        applied.append(migration.name)
    return applied


async def pending(connection: Tx, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Return the names of the migrations that ``migrate`` would apply, in order, without changing anything.

    Raises:
        SchemaTooNew: The database has migrations that are not in the list.
        MigrationChanged: An applied migration differs from the one in the list.
    """
    wanted = known() if migrations is None else migrations
    has_ledger = await connection.fetchval("select to_regclass('oncue.migrations') is not null")
    missing = await _missing(connection, wanted) if has_ledger else wanted
    return [migration.name for migration in missing]


async def _apply_next(connection: Tx, wanted: Sequence[Migration]) -> Migration | None:
    """Apply the first missing migration and return it, or None if there is none."""
    async with connection.transaction(isolation="read_committed"):
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_MAKE_LEDGER)
        migration = next(iter(await _missing(connection, wanted)), None)
        if migration is None:
            return None
        began = time.monotonic()
        try:
            await connection.execute(migration.sql)
        except asyncpg.PostgresError as error:
            raise MigrationError(f"{migration.name} failed: {error}; nothing of it was kept") from error
        await connection.execute(
            "insert into oncue.migrations (version, name, checksum) values ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )
    telemetry.event("migration.applied", name=migration.name, ms=round(1000 * (time.monotonic() - began)))
    return migration


async def _missing(connection: Tx, wanted: Sequence[Migration]) -> Sequence[Migration]:
    """Return what is not applied yet, after comparing what is."""
    applied = await connection.fetch("select version, name, checksum from oncue.migrations order by version")
    if len(applied) > len(wanted):
        newest = applied[-1]["name"]
        raise SchemaTooNew(f"the database has {newest}, which this oncue does not know; upgrade the oncue package")
    for row, migration in zip(applied, wanted, strict=False):
        if (row["version"], row["checksum"]) != (migration.version, migration.checksum):
            raise MigrationChanged(
                f"the database has {row['name']} with checksum {row['checksum'][:12]}, this oncue's {migration.name} "
                f"has {migration.checksum[:12]}; run the release that made this database, or restore the file"
            )
    return wanted[len(applied) :]
