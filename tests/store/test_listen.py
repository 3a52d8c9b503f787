"""Notifications are heard, and heard again after the connection broke."""

import asyncio
from typing import Any

import pytest

from oncue.store.errors import DatabaseUnavailable
from oncue.store.listen import Listener, notify
from oncue.store.pool import Pool, transaction

SECONDS = 10
"""How long a test waits for what must happen."""


async def cut_listeners(db: Pool) -> int:
    """Cut the listening connections of this test's database and return how many there were."""
    cut = await db.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and query ilike 'listen %'"
    )
    return len(cut)


async def test_handler_hears_its_channel_after_the_commit(db: Pool, database_url: str) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async with Listener(database_url, {"one": lambda *told: heard.put_nowait(told)}):
        async with transaction(db) as tx:
            await notify(tx, "one", "inside")
            await notify(tx, "two", "another channel")
            await notify(db, "one", "before")

        async with asyncio.timeout(SECONDS):
            assert [await heard.get(), await heard.get()] == [("one", "before"), ("one", "inside")]
    assert heard.empty()


async def test_broken_connection_is_mended_and_told(db: Pool, database_url: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    back = asyncio.Event()

    async with Listener(
        database_url, {"one": lambda _, payload: heard.put_nowait(payload)}, on_reconnect=back.set
    ) as listener:
        for word in ("first", "second"):
            back.clear()
            assert await cut_listeners(db) == 1
            async with asyncio.timeout(SECONDS):
                await back.wait()
                await notify(db, "one", word)
                assert await heard.get() == word
    await listener.stop()


async def test_failing_handler_does_not_deafen_the_others(db: Pool, database_url: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def fail(_channel: str, payload: str) -> None:
        raise RuntimeError(payload)

    async with Listener(database_url, {"bad": fail, "good": lambda _, payload: heard.put_nowait(payload)}):
        await notify(db, "bad", "fault")
        await notify(db, "good", "fine")
        async with asyncio.timeout(SECONDS):
            assert await heard.get() == "fine"

    assert [str(fault["exception"]) for fault in faults] == ["fault"]


async def test_stopped_listener_leaves_no_connection(db: Pool, database_url: str) -> None:
    listener = Listener(database_url, {"one": lambda *_: None})
    await listener.start()
    await listener.start()

    await listener.stop()
    await listener.stop()

    async with asyncio.timeout(SECONDS):
        while await cut_listeners(db):
            pass


async def test_first_connection_that_fails_is_told(database_url: str) -> None:
    listener = Listener(database_url + "_missing", {"one": lambda *_: None})

    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await listener.start()

    await listener.stop()
