"""The schema goes forward, once, whoever asks."""

import asyncio
from pathlib import Path

import pytest

from oncue.store.errors import MigrationChanged, MigrationError, SchemaTooNew
from oncue.store.migrate import Migration, known, migrate, pending
from oncue.store.pool import connect, open_pool

FIRST = Migration(1, "0001_first", "create table public.first (id int); create table public.other (id int);")
SECOND = Migration(2, "0002_second", "alter table public.first add column name text;")


async def test_missing_migrations_are_applied_in_order(empty_database_url: str) -> None:
    db = await connect(empty_database_url)
    try:
        assert await pending(db, [FIRST, SECOND]) == ["0001_first", "0002_second"]

        assert await migrate(db, [FIRST]) == ["0001_first"]
        assert await pending(db, [FIRST, SECOND]) == ["0002_second"]
        assert await migrate(db, [FIRST, SECOND]) == ["0002_second"]

        assert await migrate(db, [FIRST, SECOND]) == []
        assert await pending(db, [FIRST, SECOND]) == []
        assert await db.fetch("select id, name from public.first") == []
        ledger = await db.fetch("select version, name, checksum from oncue.migrations order by version")
        assert [tuple(row) for row in ledger] == [(m.version, m.name, m.checksum) for m in (FIRST, SECOND)]
    finally:
        await db.close()


async def test_pending_changes_nothing_on_an_empty_database(empty_database_url: str) -> None:
    db = await connect(empty_database_url)
    try:
        await pending(db, [FIRST])

        assert await db.fetchval("select count(*) from pg_namespace where nspname = 'oncue'") == 0
    finally:
        await db.close()


async def test_servers_starting_together_apply_each_once(empty_database_url: str) -> None:
    pool = await open_pool(empty_database_url, min_size=6)

    async def start() -> list[str]:
        async with pool.acquire() as connection:
            return await migrate(connection, [FIRST, SECOND])

    try:
        applied = await asyncio.gather(*(start() for _ in range(6)))
    finally:
        await pool.close()

    assert sorted(name for names in applied for name in names) == ["0001_first", "0002_second"]


async def test_failing_migration_leaves_the_ones_before(empty_database_url: str) -> None:
    broken = Migration(2, "0002_broken", "create table public.half (id int); select nonsense;")
    db = await connect(empty_database_url)
    try:
        with pytest.raises(MigrationError, match=r'0002_broken failed: column "nonsense" does not exist'):
            await migrate(db, [FIRST, broken])

        assert await db.fetchval("select to_regclass('public.half')") is None
        assert await pending(db, [FIRST, SECOND]) == ["0002_second"]
    finally:
        await db.close()


async def test_newer_schema_says_to_upgrade_the_package(empty_database_url: str) -> None:
    db = await connect(empty_database_url)
    try:
        await migrate(db, [FIRST, SECOND])

        for ask in (migrate, pending):
            with pytest.raises(SchemaTooNew, match=r"the database has 0002_second.*upgrade the oncue package"):
                await ask(db, [FIRST])
    finally:
        await db.close()


async def test_changed_migration_is_refused_by_its_checksum(empty_database_url: str) -> None:
    changed = FIRST._replace(sql="create table public.first (id bigint);")
    db = await connect(empty_database_url)
    try:
        await migrate(db, [FIRST])

        for ask in (migrate, pending):
            with pytest.raises(MigrationChanged, match=f"0001_first with checksum {FIRST.checksum[:12]}"):
                await ask(db, [changed, SECOND])
    finally:
        await db.close()


async def test_packaged_migrations_make_a_schema_from_nothing(empty_database_url: str) -> None:
    db = await connect(empty_database_url)
    try:
        assert await migrate(db) == [migration.name for migration in known()]

        assert await db.fetchval("select oncue.now() = now()")
    finally:
        await db.close()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c is number 2 in its folder"),
        (["0001_a.sql", "0001_b.sql"], "0001_b is number 2 in its folder"),
        (["first.sql"], "first.sql is no migration's name"),
    ],
)
def test_misnumbered_migrations_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")

    with pytest.raises(MigrationError, match=message):
        known(tmp_path)


def test_migrations_of_a_folder_come_in_order(tmp_path: Path) -> None:
    for name in ("0002_b.sql", "0001_a.sql", "README.md"):
        (tmp_path / name).write_text(f"select '{name}';")

    assert known(tmp_path) == [
        Migration(1, "0001_a", "select '0001_a.sql';"),
        Migration(2, "0002_b", "select '0002_b.sql';"),
    ]
