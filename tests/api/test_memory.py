"""What servers remember of the database: asked for once by all, and never older than the last change."""

import asyncio

import pytest

from oncue.api.memory import Memory


class Database:
    """Answers when it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: int | Exception = 0
        self.goes_on = asyncio.Event()
        self.seconds = 0.0

    async def find(self, name: str) -> int:
        self.asked.append(name)
        answer = self.answer
        await self.goes_on.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def memory(self, most: int = 10) -> Memory[str, int]:
        return Memory(self.find, lasts=float, clock=lambda: self.seconds, most=most)


@pytest.fixture
def database() -> Database:
    return Database()


async def begun(*calls: "asyncio.Task[int]") -> None:
    """Let tasks go on until they wait."""
    for _ in calls:
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_share_one_look_up(database: Database) -> None:
    memory = database.memory()
    database.answer = 5
    calls = [asyncio.create_task(memory.get("a")) for _ in range(100)]
    await begun(*calls)
    calls[0].cancel()
    database.goes_on.set()

    assert await asyncio.gather(*calls[1:]) == [5] * 99
    assert await memory.get("a") == 5
    assert database.asked == ["a"]


async def test_answer_counts_as_long_as_it_says(database: Database) -> None:
    memory = database.memory()
    database.answer = 5
    database.goes_on.set()
    for seconds in (0, 4.9, 5, 9.9, 10):
        database.seconds = seconds
        await memory.get("a")

    assert database.asked == ["a"] * 3


async def test_look_up_that_a_change_overtook_is_not_remembered(database: Database) -> None:
    memory = database.memory()
    database.answer = 5
    old = asyncio.create_task(memory.get("a"))
    await begun(old)
    memory.forget()
    database.answer = 7
    new = asyncio.create_task(memory.get("a"))
    await begun(new)
    database.goes_on.set()

    assert (await old, await new, await memory.get("a")) == (5, 7, 7)
    assert database.asked == ["a", "a"]


async def test_failed_look_up_fails_all_and_is_forgotten(database: Database) -> None:
    memory = database.memory()
    database.answer = ValueError("away")
    calls = [asyncio.create_task(memory.get("a")) for _ in range(3)]
    await begun(*calls)
    database.goes_on.set()

    assert [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)] == [ValueError] * 3
    database.answer = 5
    assert await memory.get("a") == 5


async def test_answer_that_will_not_do_is_asked_for_again_once(database: Database) -> None:
    memory = database.memory()
    database.answer = 500
    database.goes_on.set()
    first = await memory.get("a")
    database.answer = 700

    assert await asyncio.gather(*(memory.get("a", instead_of=first) for _ in range(9))) == [700] * 9
    assert database.asked == ["a", "a"]


async def test_no_more_answers_are_kept_than_said(database: Database) -> None:
    memory = database.memory(most=2)
    database.answer = 5
    database.goes_on.set()
    for name in ("a", "b", "c", "c", "a"):
        await memory.get(name)

    assert database.asked == ["a", "b", "c", "a"]
