import asyncio
from collections.abc import Sequence

import pytest

from oncue.api.coalescing import Coalescer
from oncue.protocol.errors import ApiError, BadRequest, Unavailable
from oncue.store.pool import Pool
from tests.api.client import Client, served


class Flushes:
    """Stands for the database: doubles numbers, and holds each group until it is let go."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, key: str, items: Sequence[int]) -> list[int | ApiError]:
        self.groups.append((key, list(items)))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if -1 in items:
            raise ValueError("this one breaks the statement")
        return [BadRequest(f"{item} is odd") if item % 2 else 2 * item for item in items]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_lone_call_is_flushed_without_waiting_for_others() -> None:
    flushes = Flushes()
    coalescer = Coalescer(flushes)

    call = asyncio.create_task(coalescer.submit("dev", 2))
    await settle()

    assert flushes.groups == [("dev", [2])]
    flushes.gate.set()
    assert await call == 4


async def test_calls_during_a_flush_share_the_next_one() -> None:
    flushes = Flushes()
    coalescer = Coalescer(flushes, at_once=1)
    calls = [asyncio.create_task(coalescer.submit("dev", 0))]
    await settle()

    calls += [asyncio.create_task(coalescer.submit("dev", item)) for item in (2, 4, 6)]
    await settle()
    flushes.gate.set()

    assert await asyncio.gather(*calls) == [0, 4, 8, 12]
    assert flushes.groups == [("dev", [0]), ("dev", [2, 4, 6])]


async def test_group_never_exceeds_its_largest_size() -> None:
    flushes = Flushes()
    flushes.gate.set()
    coalescer = Coalescer(flushes, largest=4, at_once=1)

    await asyncio.gather(*(coalescer.submit("dev", 2 * item) for item in range(10)))

    assert [len(items) for _, items in flushes.groups] == [4, 4, 2]


async def test_keys_are_flushed_apart_and_at_once() -> None:
    flushes = Flushes()
    coalescer = Coalescer(flushes, at_once=1)

    calls = [asyncio.create_task(coalescer.submit(key, 2)) for key in ("dev", "prod", "dev")]
    await settle()

    assert flushes.groups == [("dev", [2, 2]), ("prod", [2])]
    flushes.gate.set()
    await asyncio.gather(*calls)


async def test_refused_item_fails_alone() -> None:
    flushes = Flushes()
    flushes.gate.set()
    coalescer = Coalescer(flushes)

    results = await asyncio.gather(*(coalescer.submit("dev", item) for item in (2, 3, 4)), return_exceptions=True)

    assert (results[0], results[2]) == (4, 8)
    assert isinstance(results[1], BadRequest)
    assert len(flushes.groups) == 1


async def test_item_that_breaks_its_transaction_is_told_apart() -> None:
    flushes = Flushes()
    flushes.gate.set()
    coalescer = Coalescer(flushes)

    results = await asyncio.gather(
        *(coalescer.submit("dev", item) for item in (2, 4, -1, 6, 8)), return_exceptions=True
    )

    assert [results[0], results[1], results[3], results[4]] == [4, 8, 12, 16]
    assert isinstance(results[2], ValueError)


async def test_absent_database_fails_the_whole_group_once() -> None:
    flushes = Flushes()
    flushes.gate.set()
    flushes.error = Unavailable("away")
    coalescer = Coalescer(flushes)

    results = await asyncio.gather(*(coalescer.submit("dev", item) for item in (2, 4)), return_exceptions=True)

    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert len(flushes.groups) == 1


async def test_caller_that_goes_away_takes_nothing_from_others() -> None:
    flushes = Flushes()
    coalescer = Coalescer(flushes)
    gone, stays = (asyncio.create_task(coalescer.submit("dev", item)) for item in (2, 4))
    await settle()

    gone.cancel()
    await settle()
    flushes.gate.set()

    assert await stays == 8
    assert flushes.groups == [("dev", [2, 4])]


async def test_closing_answers_what_was_taken_and_refuses_the_rest() -> None:
    flushes = Flushes()
    coalescer = Coalescer(flushes, at_once=1)
    calls = [asyncio.create_task(coalescer.submit("dev", item)) for item in (2, 4)]
    await settle()

    closing = asyncio.create_task(coalescer.close())
    await settle()
    with pytest.raises(Unavailable, match="stopping"):
        await coalescer.submit("dev", 6)
    flushes.gate.set()
    await closing

    assert [call.result() for call in calls] == [4, 8]


async def test_concurrent_triggers_share_few_transactions(database_url: str, db: Pool) -> None:
    count = "select count(distinct xmin::text) from oncue.runs"
    async with served(database_url) as url, Client(url) as client:
        runs = await asyncio.gather(*(client.trigger("add") for _ in range(200)))

    assert len(set(runs)) == await db.fetchval("select count(*) from oncue.runs") == 200
    # Each transaction that inserts stamps its rows with its own number.
    assert await db.fetchval(count) <= 50


async def test_bad_trigger_in_a_crowd_fails_alone(client: Client) -> None:
    bodies = [{"options": {"parentRunId": "run_01m85bt2a3e17a3tfbyg17pek1"} if n == 7 else {}} for n in range(20)]

    replies = await asyncio.gather(*(client.post("/api/v1/tasks/add/trigger", body) for body in bodies))

    assert [reply.status for reply in replies] == [422 if n == 7 else 200 for n in range(20)]
