"""Transactions on a pool, and what happens when the server goes away."""

import asyncio
import socket

import asyncpg
import pytest

from oncue.store import pool as pool_module
from oncue.store.errors import DatabaseUnavailable, ServerTooOld
from oncue.store.pool import Pool, Tx, connect, in_transaction, open_pool, transaction


async def test_transaction_commits_at_end_and_rolls_back_on_error(db: Pool) -> None:
    await db.execute("create table things (name text)")

    async with transaction(db) as tx:
        await tx.execute("insert into things values ('kept')")
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with transaction(db) as tx:
            await tx.execute("insert into things values ('dropped')")
            await tx.execute("select 1 / 0")

    assert [row["name"] for row in await db.fetch("select name from things")] == ["kept"]


async def test_transaction_states_read_committed_whatever_the_default(database_url: str, db: Pool) -> None:
    async with transaction(db) as tx:
        name = await tx.fetchval("select current_database()")
    await db.execute(f"alter database {name} set default_transaction_isolation = 'serializable'")

    other = await open_pool(database_url)
    try:
        async with transaction(other) as tx:
            assert await tx.fetchval("show transaction_isolation") == "read committed"
            assert await tx.fetchval("show application_name") == "oncue"
    finally:
        await other.close()


async def test_json_travels_as_text_both_ways(db: Pool) -> None:
    assert await db.fetchval("select $1::jsonb", '{"a": [1, 2]}') == '{"a": [1, 2]}'


async def test_connection_cut_inside_becomes_database_unavailable(db: Pool, server_url: str) -> None:
    other = await connect(server_url)
    try:
        with pytest.raises(DatabaseUnavailable, match="the connection to PostgreSQL broke"):
            async with transaction(db) as tx:
                await other.execute("select pg_terminate_backend($1)", await tx.fetchval("select pg_backend_pid()"))
                await tx.execute("select 1")
    finally:
        await other.close()

    async with transaction(db) as tx:
        assert await tx.fetchval("select 1") == 1


async def test_driver_misuse_is_not_taken_for_an_outage(db: Pool) -> None:
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        async with transaction(db) as tx:
            await tx.fetchval("select $1::int")


async def test_transaction_survives_cut_idle_connections(db: Pool, server_url: str) -> None:
    async with transaction(db) as first, transaction(db) as second:
        pids = [await tx.fetchval("select pg_backend_pid()") for tx in (first, second)]
    other = await connect(server_url)

    try:
        await other.execute("select pg_terminate_backend(pid) from unnest($1::int[]) as pid", pids)
        async with transaction(db) as tx:
            assert await tx.fetchval("select pg_backend_pid()") not in pids
    finally:
        await other.close()


async def test_deadlock_victim_is_run_again_from_its_beginning(db: Pool) -> None:
    await db.execute("create table things (id int primary key, count int)")
    await db.execute("insert into things values (1, 0), (2, 0)")
    both_locked = asyncio.Barrier(2)
    runs: list[tuple[int, int]] = []

    async def add(first: int, second: int, tx: Tx) -> str:
        runs.append((first, second))
        await tx.execute("set local deadlock_timeout = '10ms'")
        await tx.execute("update things set count = count + 1 where id = $1", first)
        if len(runs) <= 2:
            await both_locked.wait()
        await tx.execute("update things set count = count + 1 where id = $1", second)
        return f"{first}{second}"

    one, two = await asyncio.gather(
        in_transaction(db, lambda tx: add(1, 2, tx)), in_transaction(db, lambda tx: add(2, 1, tx))
    )

    assert (one, two) == ("12", "21")
    assert len(runs) == 3
    assert [row["count"] for row in await db.fetch("select count from things")] == [2, 2]


async def test_serialization_failure_is_raised_after_last_attempt(db: Pool) -> None:
    tries = 0

    async def fail(tx: Tx) -> None:
        nonlocal tries
        tries += 1
        await tx.execute("do $$ begin raise sqlstate '40001'; end $$")

    with pytest.raises(asyncpg.SerializationError):
        await in_transaction(db, fail, attempts=3)

    assert tries == 3


@pytest.mark.parametrize("opening", [open_pool, connect])
async def test_no_server_is_told_without_the_password(opening: object) -> None:
    assert callable(opening)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(DatabaseUnavailable) as caught:
            await opening(f"postgresql://somebody:hidden@127.0.0.1:{port}/things")

    assert f"no PostgreSQL answers at 127.0.0.1:{port}/things" in str(caught.value)
    assert "check DATABASE_URL" in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_wrong_password_is_told_as_a_refusal(server_url: str) -> None:
    wrong = server_url.replace(":", ":hidden", 2).replace(":hidden", ":", 1)

    with pytest.raises(DatabaseUnavailable, match=r"refuses: password authentication failed.*check DATABASE_URL"):
        await open_pool(wrong)


async def test_unknown_database_is_told_as_a_refusal(server_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r'refuses: database "nowhere" does not exist'):
        await connect(server_url.rpartition("/")[0] + "/nowhere")


async def test_unreadable_address_is_refused_with_advice() -> None:
    with pytest.raises(DatabaseUnavailable, match="check DATABASE_URL"):
        await open_pool("mysql://localhost/things")


@pytest.mark.parametrize("opening", [open_pool, connect])
async def test_older_server_is_refused(opening: object, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(opening)
    monkeypatch.setattr(pool_module, "OLDEST_MAJOR", 99)

    with pytest.raises(ServerTooOld, match="oncue needs 99 or newer"):
        await opening(server_url)
