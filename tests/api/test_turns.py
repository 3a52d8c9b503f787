"""Who asks for much at once is served after those who came before."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from oncue.api.seats import Owner
from oncue.api.turns import Turns
from oncue.protocol.errors import RateLimited

BACKEND, PAGE, OTHER = Owner(1), Owner(1, b"page"), Owner(1, b"other")


class Visitors:
    """Who is at it, and who was."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.inside: list[Owner] = []
        self.served: list[Owner] = []
        self.most = 0
        self._leave = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, owner: Owner) -> None:
        self.tasks.append(asyncio.create_task(self._visit(owner)))

    async def rest(self) -> None:
        """Let everybody go as far as he comes."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Let all go who are at it."""
        leave, self._leave = self._leave, asyncio.Event()
        leave.set()
        await self.rest()

    async def _visit(self, owner: Owner) -> None:
        async with self.turns.turn(owner):
            self.inside.append(owner)
            self.most = max(self.most, len(self.inside))
            await self._leave.wait()
            self.inside.remove(owner)
            self.served.append(owner)


@pytest.fixture
async def visitors() -> AsyncIterator[Visitors]:
    made = Visitors(Turns(2, longest_line=60))
    yield made
    for task in made.tasks:
        task.cancel()


async def test_token_has_one_turn_however_often_it_asks(visitors: Visitors) -> None:
    for owner in (*[PAGE] * 50, OTHER, BACKEND):
        visitors.come(owner)
    await visitors.rest()

    assert visitors.inside == [PAGE, OTHER]
    await visitors.leave()
    assert sorted(visitors.inside, key=str) == sorted([BACKEND, PAGE], key=str)


async def test_secret_keys_take_all_turns_that_there_are(visitors: Visitors) -> None:
    for _ in range(5):
        visitors.come(BACKEND)
    await visitors.rest()
    for _ in range(3):
        await visitors.leave()

    assert (visitors.most, len(visitors.served)) == (2, 5)


async def test_who_leaves_the_line_keeps_nobody_waiting(visitors: Visitors) -> None:
    for owner in (PAGE, PAGE, PAGE):
        visitors.come(owner)
    await visitors.rest()
    visitors.tasks[1].cancel()
    await visitors.leave()

    assert visitors.inside == [PAGE]
    await visitors.leave()
    assert visitors.served == [PAGE, PAGE]
    visitors.tasks.clear()
    gc.collect()
    assert len(visitors.turns._own) == 0


async def test_line_of_one_token_has_an_end(visitors: Visitors) -> None:
    for _ in range(60):
        visitors.come(PAGE)
    await visitors.rest()

    with pytest.raises(RateLimited, match="60 subscriptions are being begun with this token; try again later"):
        async with visitors.turns.turn(PAGE):
            pytest.fail("there was room")
    visitors.come(OTHER)
    await visitors.rest()
    assert visitors.inside == [PAGE, OTHER]
