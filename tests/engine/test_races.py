"""Two transactions that want opposite things of one run: each time one of them wins, whole, and the other is told.

Every race is run a thousand times over two connections, now with a head start for the one, now for the other.
"""

import asyncio
import datetime
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

import pytest

from oncue.engine import debouncing, queues, requests, rescheduling, triggering
from oncue.engine.queue_reading import QueueRef
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BadRequest
from oncue.protocol.triggers import DebounceOption, QueueOption
from oncue.protocol.work import Assignment
from oncue.store.pool import in_transaction
from tests.engine.conftest import Engine, request

ROUNDS = 1_000
_LONGEST_HEAD_START_S = 0.003

One = TypeVar("One")
Other = TypeVar("Other")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def started(engine: Engine) -> Engine:
    engine.moment = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return engine


async def race(one: Awaitable[One], other: Awaitable[Other], chance: random.Random) -> tuple[One, Other]:
    """Let both go, one of them a little earlier; which one and by how much is chance."""
    head_start = chance.uniform(-_LONGEST_HEAD_START_S, _LONGEST_HEAD_START_S)

    async def after(seconds: float, contender: Awaitable[Any]) -> Any:
        its_turn = asyncio.Event()
        asyncio.get_running_loop().call_later(max(seconds, 0.0), its_turn.set)
        await its_turn.wait()
        return await contender

    first, second = await asyncio.gather(after(head_start, one), after(-head_start, other))
    return first, second


def moments(engine: Engine) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    """Give each round its own second: when it begins, and when what it began with is due."""
    assert engine.moment is not None
    start = engine.moment
    for number in range(ROUNDS):
        begin = start + datetime.timedelta(milliseconds=10 * number)
        yield begin, begin + datetime.timedelta(seconds=1)


async def claimed(engine: Engine, worker: uuid.UUID, count: int) -> list[Assignment]:
    found: list[Assignment] = []
    while len(found) < count:
        found += await engine.claim(worker, 100)
    return found


async def test_cancel_and_complete_have_one_winner(engine: Engine) -> None:
    chance = random.Random(1)
    worker = await engine.announce("t")
    for _ in range(ROUNDS // 100):
        await engine.trigger_many(*(("t", request()) for _ in range(100)))
    runs = await claimed(engine, worker, ROUNDS)
    seen: Counter[str] = Counter()
    for run in runs:
        lost, _ = await race(engine.succeed(worker, run), engine.cancel(run.run_id), chance)
        status = await engine.status(run.run_id)
        assert (status, lost) in (("COMPLETED", []), ("CANCELED", [run.run_id]))
        seen[status] += 1
    assert seen.total() == ROUNDS
    assert set(seen) == {"COMPLETED", "CANCELED"}


async def test_expire_and_claim_have_one_winner(started: Engine) -> None:
    chance = random.Random(2)
    worker = await started.announce("t")
    seen: Counter[str] = Counter()
    for begin, due in moments(started):
        started.moment = begin
        run = await started.trigger("t", ttl="1s")
        started.moment = due
        expired, assignments = await race(started.expire_due(), started.claim(worker, 1), chance)
        status = await started.status(run)
        if status == "EXPIRED":
            assert (expired, assignments) == (1, [])
        else:
            assert (status, expired, [one.run_id for one in assignments]) == ("EXECUTING", 0, [run])
            assert await started.expire_due() == 0
        seen[status] += 1
    assert set(seen) == {"EXPIRED", "EXECUTING"}


async def test_reschedule_and_release_have_one_winner(started: Engine) -> None:
    chance = random.Random(3)
    await started.announce("t")
    later = datetime.timedelta(hours=1)
    seen: Counter[str] = Counter()

    async def reschedule(run: str) -> bool:
        when = rescheduling.NewTime(later, None)
        key = ids.parse(ids.RUN, run)
        try:
            await started.run(
                lambda tx: rescheduling.reschedule(tx, started.environment, key, when, effects=started.effects)
            )
        except BadRequest:
            return False
        return True

    for begin, due in moments(started):
        started.moment = begin
        run = await started.trigger("t", delay="1s")
        started.moment = due
        moved, _ = await race(reschedule(run), started.release_due(), chance)
        view = await started.retrieve(run)
        if moved:
            assert (view.status, view.delayed_until) == ("DELAYED", due + later)
        else:
            assert view.status == "QUEUED"
        seen[view.status] += 1
    assert set(seen) == {"DELAYED", "QUEUED"}


async def test_debounce_and_release_have_one_winner(started: Engine) -> None:
    chance = random.Random(4)
    await started.announce("t")
    seen: Counter[str] = Counter()
    for number, (begin, due) in enumerate(moments(started)):
        option = DebounceOption(f"k{number}", "1h")
        started.moment = begin
        first = await started.trigger("t", debounce=option, delay="1s")
        started.moment = due
        second, _ = await race(started.trigger("t", debounce=option), started.release_due(), chance)
        view = await started.retrieve(first)
        if second == first:
            assert view.status == "DELAYED"
            assert view.delayed_until is not None
            assert view.delayed_until > due + datetime.timedelta(minutes=59)
        else:
            assert view.status == "QUEUED"
            assert await started.status(second) == "DELAYED"
        seen[view.status] += 1
    assert set(seen) == {"DELAYED", "QUEUED"}
    assert await started.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == ROUNDS + seen["QUEUED"]


async def test_two_calls_with_one_idempotency_key_make_one_run(engine: Engine) -> None:
    chance = random.Random(5)
    seen: Counter[bool] = Counter()

    async def call(number: int) -> Triggered:
        (made,) = await engine.trigger_many(("t", request(idempotency_key=f"k{number}")))
        assert not isinstance(made, ApiError)
        return made

    for number in range(ROUNDS):
        one, other = await race(call(number), call(number), chance)
        assert one.run_id == other.run_id
        assert one.is_cached is not other.is_cached
        seen[one.is_cached] += 1
    assert set(seen) == {True, False}
    assert await engine.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == ROUNDS


async def test_pause_and_claim_have_one_winner(engine: Engine) -> None:
    chance = random.Random(6)
    worker = await engine.announce("t")
    seen: Counter[int] = Counter()
    run = await engine.trigger("t", queue="q", ttl=0)

    async def control(*, paused: bool) -> None:
        ref = QueueRef("custom", "q")
        change = queues.pause if paused else queues.resume
        await engine.run(lambda tx: change(tx, engine.environment, ref, effects=engine.effects))

    for _ in range(ROUNDS):
        assignments, _ = await race(engine.claim(worker, 1), control(paused=True), chance)
        assert [one.run_id for one in assignments] in ([run], [])
        assert await engine.claim(worker, 1) == []
        await control(paused=False)
        if assignments:
            await engine.hand_back(worker, *assignments)
        seen[len(assignments)] += 1
    assert set(seen) == {0, 1}


async def test_dropping_old_keys_spares_those_taken_over(engine: Engine) -> None:
    chance = random.Random(8)
    many = [DebounceOption(f"k{number}", "1h") for number in range(100)]
    seen: Counter[bool] = Counter()
    for _ in range(ROUNDS // 25):
        first = await engine.trigger_many(*(("t", request(debounce=one)) for one in many))
        await engine.cancel(*(ids.show(ids.RUN, one.run_id) for one in first if isinstance(one, Triggered)))
        calls = engine.trigger_many(*(("t", request(debounce=one)) for one in many))
        made, dropped = await race(calls, engine.run(debouncing.forget_released), chance)
        assert await engine.trigger_many(*(("t", request(debounce=one)) for one in many)) == made
        seen[dropped == 0] += 1
        await engine.cancel(*(ids.show(ids.RUN, one.run_id) for one in made if isinstance(one, Triggered)))
    assert set(seen) == {True, False}


async def test_limits_that_differ_never_lock_in_a_circle(engine: Engine) -> None:
    """Each call says another limit of one queue than the last call did, and has a concurrency key that is new."""
    await engine.announce("t")
    chance = random.Random(7)
    queues_of = (("a", "b"), ("b", "a"))

    async def call(number: int, side: int) -> None:
        first, second = queues_of[side]
        key = f"{number}-{side}"
        runs = [
            requests.plan("t", request(queue=QueueOption(first, 1 + chance.randrange(50)), concurrency_key=key)),
            requests.plan("t", request(queue=QueueOption(second), concurrency_key=key)),
        ]
        made = await in_transaction(
            engine.pool,
            lambda tx: triggering.trigger_many(tx, engine.environment, runs, effects=engine.effects),
            # A deadlock is not done again here: it fails the test.
            attempts=1,
        )
        assert all(isinstance(one, Triggered) for one in made)

    for number in range(ROUNDS // 4):
        await race(call(number, 0), call(number, 1), chance)
    assert await engine.violations() == 0
    assert await engine.pool.fetchval("select count(*) from oncue.live") == ROUNDS
