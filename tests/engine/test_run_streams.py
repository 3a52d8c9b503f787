"""Chunks of streams: numbered as they are committed, stored once."""

import asyncio
import uuid

import pytest

from oncue.engine import cancellation, run_streams
from oncue.engine.run_streams import Name
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest
from oncue.store.pool import Tx
from tests.engine.conftest import Engine, until_blocked


async def append(engine: Engine, run: uuid.UUID, writer: str, *chunks: tuple[int, str], key: str = "words") -> None:
    await engine.run(
        lambda tx: run_streams.append(tx, engine.environment, run, key, chunks, writer=writer, effects=engine.effects)
    )


async def read(engine: Engine, run: uuid.UUID, first: int = 0) -> list[tuple[int, str]]:
    found = await engine.run(lambda tx: run_streams.read(tx, engine.environment.id, run, Name("words"), first=first))
    return [(chunk.number, chunk.data) for chunk in found]


async def test_writers_at_once_leave_no_gap(engine: Engine) -> None:
    run = ids.parse(ids.RUN, await engine.trigger("t"))

    await asyncio.gather(
        *(append(engine, run, f"writer-{who}", (part, f'"{who}-{part}"')) for who in range(5) for part in range(8))
    )

    found = await read(engine, run)
    assert [number for number, _ in found] == list(range(40))
    assert {data for _, data in found} == {f'"{who}-{part}"' for who in range(5) for part in range(8)}


async def test_chunk_of_a_writer_is_stored_once(engine: Engine) -> None:
    run = ids.parse(ids.RUN, await engine.trigger("t"))
    await append(engine, run, "w", (0, "0"), (1, "1"))
    engine.effects.streamed.clear()

    await append(engine, run, "w", (1, "1"))
    assert engine.effects.streamed == {}
    await append(engine, run, "w", (1, "1"), (2, "2"))

    assert await read(engine, run) == [(0, "0"), (1, "1"), (2, "2")]
    assert await read(engine, run, first=2) == [(2, "2")]
    assert engine.effects.streamed == {engine.environment.id: [run]}


async def test_run_does_not_end_while_chunks_are_stored(engine: Engine) -> None:
    run = await engine.trigger("t")
    stored, commit = asyncio.Event(), asyncio.Event()

    async def held(tx: Tx) -> None:
        await run_streams.append(
            tx, engine.environment, ids.parse(ids.RUN, run), "words", [(0, "0")], writer="w", effects=engine.effects
        )
        stored.set()
        await commit.wait()

    storing = asyncio.create_task(engine.run(held))
    await stored.wait()
    ending = asyncio.create_task(engine.cancel(run))
    await until_blocked(engine)
    # Neither is a writer of the same run kept waiting.
    await append(engine, ids.parse(ids.RUN, run), "other", key="more")
    assert await engine.status(run) != "CANCELED"

    commit.set()
    await storing
    await ending

    assert await engine.status(run) == "CANCELED"
    assert await read(engine, ids.parse(ids.RUN, run)) == [(0, "0")]


async def test_chunk_that_meets_the_end_is_refused(engine: Engine) -> None:
    run = await engine.trigger("t")
    ended, commit = asyncio.Event(), asyncio.Event()

    async def held(tx: Tx) -> None:
        await cancellation.cancel(tx, engine.environment, [ids.parse(ids.RUN, run)], effects=engine.effects)
        ended.set()
        await commit.wait()

    ending = asyncio.create_task(engine.run(held))
    await ended.wait()
    storing = asyncio.create_task(append(engine, ids.parse(ids.RUN, run), "w", (0, "0")))
    await until_blocked(engine)
    commit.set()
    await ending

    with pytest.raises(BadRequest, match="has ended; its streams take no more"):
        await storing


async def test_large_chunks_are_read_in_several_pages(engine: Engine) -> None:
    run = ids.parse(ids.RUN, await engine.trigger("t"))
    large = '"' + "x" * 400_000 + '"'

    await append(engine, run, "w", *((number, large) for number in range(5)))

    assert [number for number, _ in await read(engine, run)] == [0, 1, 2]
    assert [number for number, _ in await read(engine, run, first=3)] == [3, 4]


@pytest.mark.parametrize("key", ["", "x" * 257, "a\0b"])
def test_key_that_cannot_be_is_refused(key: str) -> None:
    with pytest.raises(BadRequest):
        run_streams.check_key(key)
