"""Which held claims are woken, with the database left out: a poll that is woken says how much it found."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator

import pytest

from oncue.api import polls as module
from oncue.api.polls import Poll, Polls

ENVIRONMENT = 1


class Worker:
    """A held claim in a task of its own; looks end with what the test says."""

    def __init__(self, polls: Polls, kind: str = "a", *, places: int = 1) -> None:
        self.id = uuid.uuid4()
        self.looks = 0
        self.wants_room = False
        self._polls, self._kind, self._places = polls, kind, places
        self._finds: asyncio.Queue[int] = asyncio.Queue()
        self.task = asyncio.create_task(self._run())

    def find(self, runs: int) -> None:
        self._finds.put_nowait(runs)

    async def _run(self) -> int:
        with self._polls.hold(ENVIRONMENT, self.id, places=self._places, kind=self._kind) as poll:
            return await self._look(poll)

    async def _look(self, poll: Poll) -> int:
        while True:
            poll.start_look()
            self.looks += 1
            found = await self._finds.get()
            poll.wants_room = self.wants_room
            poll.end_look(found)
            if found or not await poll.wait(60):
                return found


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@contextlib.contextmanager
def ended(*workers: Worker) -> Iterator[None]:
    try:
        yield
    finally:
        for worker in workers:
            worker.task.cancel()


async def waiting(polls: Polls, *kinds: str, places: int = 1) -> list[Worker]:
    """Return workers that have looked, found nothing and wait."""
    workers = [Worker(polls, kind, places=places) for kind in kinds]
    await settle()
    for worker in workers:
        worker.find(0)
    await settle()
    assert len(polls) == len(workers)
    return workers


def looking(workers: list[Worker]) -> list[bool]:
    return [worker.looks > 1 for worker in workers]


async def test_as_few_claims_are_woken_as_the_runs_need() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "a", "a", "a", places=2)

    with ended(*workers):
        polls.line_up(ENVIRONMENT, 3)
        await settle()

        assert looking(workers) == [True, True, False, False]


async def test_claim_that_comes_back_full_wakes_the_next() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "a", "a")

    with ended(*workers):
        polls.line_up(ENVIRONMENT, 1)
        await settle()
        workers[0].find(1)
        await settle()

        assert looking(workers) == [True, True, False]


async def test_claim_with_places_left_wakes_nobody() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "a", places=5)

    with ended(*workers):
        polls.line_up(ENVIRONMENT, 1)
        await settle()
        workers[0].find(1)
        await settle()

        assert looking(workers) == [True, False]


async def test_one_of_a_kind_finding_nothing_spares_the_others() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "a", "a", "b")

    with ended(*workers):
        polls.line_up(ENVIRONMENT, 1)
        await settle()
        workers[0].find(0)
        await settle()

        assert looking(workers) == [True, False, False, True]


async def test_runs_lined_up_during_a_look_are_looked_for() -> None:
    polls = Polls()
    worker = Worker(polls)
    await settle()

    with ended(worker):
        polls.line_up(ENVIRONMENT, 1)
        worker.find(0)
        await settle()

        assert worker.looks == 2


async def test_notice_during_a_look_is_looked_for() -> None:
    polls = Polls()
    worker = Worker(polls, places=0)
    await settle()

    with ended(worker):
        polls.notice([worker.id])
        worker.find(0)
        await settle()

        assert worker.looks == 2


async def test_notice_wakes_the_claims_of_its_worker_only() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "a")

    with ended(*workers):
        polls.notice([workers[1].id])
        await settle()

        assert looking(workers) == [False, True]


async def test_room_that_is_freed_wakes_claims_that_want_it() -> None:
    polls = Polls()
    content, wanting, elsewhere = workers = [Worker(polls) for _ in range(3)]
    wanting.wants_room = elsewhere.wants_room = True
    await settle()
    for worker in workers:
        worker.find(0)
    await settle()

    with ended(*workers):
        for worker in (content, wanting):
            polls.room_freed(worker.id)
        await settle()

        assert looking(workers) == [False, True, False]


async def test_claim_without_places_is_not_woken_for_runs() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", places=0)

    with ended(*workers):
        polls.line_up(ENVIRONMENT, 1)
        await settle()

        assert looking(workers) == [False]


async def test_woken_claim_that_dies_passes_the_wake_up_on() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "a")

    with ended(*workers):
        polls.line_up(ENVIRONMENT, 1)
        await settle()
        workers[0].task.cancel()
        await settle()

        assert looking(workers) == [True, True]


async def test_runs_of_another_environment_wake_nobody() -> None:
    polls = Polls()
    workers = await waiting(polls, "a")

    with ended(*workers):
        polls.line_up(ENVIRONMENT + 1, 1)
        await settle()

        assert looking(workers) == [False]


async def test_lost_hint_is_made_up_for_by_looking_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN_SECONDS", 0.0)
    monkeypatch.setattr(module, "_SHORTEST_TURN_SECONDS", 0.01)
    polls = Polls()
    workers = await waiting(polls, "a", "a", "a")

    with ended(*workers):
        async with asyncio.timeout(5):
            while not all(looking(workers)):
                await asyncio.sleep(0.005)

        # One look each, in the order in which they began to wait.
        assert [worker.looks for worker in workers] == [2, 2, 2]


async def test_closing_ends_every_claim_and_keeps_none_that_comes() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "b")

    polls.close()
    late = Worker(polls)
    late.find(0)

    assert await asyncio.gather(*(worker.task for worker in (*workers, late))) == [0, 0, 0]


async def test_nothing_is_kept_of_claims_that_ended() -> None:
    polls = Polls()
    workers = await waiting(polls, "a", "b")
    polls.line_up(ENVIRONMENT, 5)
    await settle()
    for worker in workers:
        worker.find(1)

    await asyncio.gather(*(worker.task for worker in workers))

    assert (len(polls), polls._rooms, dict(polls._by_worker)) == (0, {}, {})
