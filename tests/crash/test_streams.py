"""A server that is killed while a stream is sent to it: at its creation, between its items, before and at its seal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from oncue import item, tasks
from oncue.sdk import settings
from tests.crash.test_scenarios import PROGRAM, SHORT_LEASE, are, is_blocked, runs_of
from tests.fixtures.relay import Relay
from tests.fixtures.stack import Server, Stack, called, eventually

ITEMS = 2_500


@contextlib.asynccontextmanager
async def _batches_locked(stack: Stack) -> AsyncIterator[None]:
    """Hold up whatever would change a batch; within the block a server can be killed before it commits."""
    connection = await asyncpg.connect(stack.database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("lock table oncue.batches in share mode")
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def _killed(stack: Stack, server: Server) -> None:
    server.kill()
    port = urlsplit(server.url).port or 0
    await asyncio.to_thread(stack.start_server, port=port, **SHORT_LEASE)


async def _killed_when_blocked(stack: Stack, server: Server, locked: contextlib.AsyncExitStack) -> None:
    await eventually(lambda: is_blocked(stack), "the change waits")
    server.kill()
    await locked.aclose()
    port = urlsplit(server.url).port or 0
    await asyncio.to_thread(stack.start_server, port=port, **SHORT_LEASE)


@pytest.mark.parametrize("moment", ["create", "items", "before the seal", "seal"])
async def test_stream_outlives_its_server(own_stack: Stack, tmp_path: Path, moment: str) -> None:
    server = own_stack.start_server(**SHORT_LEASE)
    ledger = str(tmp_path / "ledger")
    locked = contextlib.AsyncExitStack()
    blows: list[asyncio.Task[None]] = []

    async def blow_at_a_lock() -> None:
        await locked.enter_async_context(_batches_locked(own_stack))
        blows.append(asyncio.create_task(_killed_when_blocked(own_stack, server, locked)))

    async def numbers() -> AsyncIterator[Any]:
        for number in range(ITEMS):
            if number == ITEMS // 2 and moment == "items":
                await _killed(own_stack, server)
            yield item([ledger, number])
        if moment == "before the seal":
            await eventually(lambda: are(own_stack, "true", ITEMS), "all items are there")
            await _killed(own_stack, server)
        if moment == "seal":
            await eventually(lambda: are(own_stack, "true", ITEMS), "all items are there")
            await blow_at_a_lock()

    with called(server):
        if moment == "create":
            await blow_at_a_lock()
        handle = await tasks.batch_trigger("crash-plain-leaf", numbers())
        await asyncio.gather(*blows)
        assert handle.run_count == ITEMS
        worker = own_stack.start_worker(PROGRAM)
        await worker.announced()
        await eventually(lambda: are(own_stack, "true", 0), "all end", within_s=60)
        found = await runs_of(own_stack, handle.batch_id)
    assert found == {("COMPLETED_SUCCESSFULLY", number) for number in range(ITEMS)}
    connection = await asyncpg.connect(own_stack.database_url)
    assert await connection.fetchval("select count(*) from oncue.runs") == ITEMS
    assert await connection.fetchval("select count(*) from oncue.batches where sealed_at is not null") == 1
    await connection.close()


@pytest.mark.parametrize(
    ("mark", "stream"), [(b"POST /api/v3/batches ", True), (b"/seal ", True), (b"/items ", False)], ids=str
)
async def test_answer_that_is_lost_with_the_server_costs_nothing(
    own_stack: Stack, tmp_path: Path, mark: bytes, stream: bool
) -> None:
    server = own_stack.start_server(**SHORT_LEASE)
    ledger = str(tmp_path / "ledger")
    count = ITEMS if stream else 100
    # The answer has come as far as the relay: what it tells of is committed.
    relay = Relay(server.url, mark, lambda: _killed(own_stack, server))
    items = (item([ledger, number]) for number in range(count))

    async with relay.running():
        settings.configure(api_url=relay.url, secret_key=server.key)
        handle = await tasks.batch_trigger("crash-plain-leaf", items if stream else list(items))
    with called(server):
        worker = own_stack.start_worker(PROGRAM)
        await worker.announced()
        await eventually(lambda: are(own_stack, "true", 0), "all end", within_s=60)
        found = await runs_of(own_stack, handle.batch_id)

    assert relay.has_lost
    assert handle.run_count == count
    assert found == {("COMPLETED_SUCCESSFULLY", number) for number in range(count)}
    connection = await asyncpg.connect(own_stack.database_url)
    assert await connection.fetchval("select count(*) from oncue.runs") == count
    assert await connection.fetchval("select count(*) from oncue.batches where sealed_at is not null") == 1
    await connection.close()


async def test_parent_of_a_stream_outlives_the_server(own_stack: Stack) -> None:
    server = own_stack.start_server(**SHORT_LEASE)
    with called(server):
        worker = own_stack.start_worker("tests.e2e.programs.streams")
        await worker.announced()
        handle: Any = await tasks.trigger("doubles-a-stream", ITEMS)
        await eventually(lambda: are(own_stack, "true", 1_000, at_least=True), "the first items are there")
        await _killed(own_stack, server)
        result = await handle.result(50)
    assert result.unwrap() == [2 * number for number in range(ITEMS)]
