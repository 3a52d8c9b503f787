"""Callers beyond a rate limit wait and go on, in a production environment with real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from oncue import BatchTriggerError, RateLimited, batch, item, runs, tasks
from oncue.engine.rate_limits import RateLimit
from oncue.sdk import transport
from oncue.store.pool import connect
from tests.e2e.conftest import PROGRAMS
from tests.fixtures.stack import LONG_S, Stack, called

pytestmark = pytest.mark.in_memory
HOUR = 3_600
CHILD = "limited-child"


class Hurried(transport.SystemClock):
    """Comes back from each wait before it is over."""

    def __init__(self, longest_s: float) -> None:
        self.longest_s = longest_s
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        super().sleep(min(seconds, self.longest_s))

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        await super().pause(min(seconds, self.longest_s))


def hurried(monkeypatch: pytest.MonkeyPatch, longest_s: float) -> Hurried:
    clock = Hurried(longest_s)
    monkeypatch.setattr(transport, "clock", clock)
    return clock


def numbers(count: int) -> list[Any]:
    return [item(number) for number in range(count)]


async def rows(stack: Stack, query: str) -> Any:
    connection = await connect(stack.database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_client_waits_for_the_moment_and_goes_on(production_stack: Stack) -> None:
    server = production_stack.start_server(rate_limit_requests=RateLimit(3, 10, 2))
    with called(server):
        handles = await asyncio.gather(*(tasks.trigger(CHILD, number) for number in range(8)))

    assert len({handle.id for handle in handles}) == 8
    assert await rows(production_stack, "select count(*) from oncue.runs") == 8


async def test_limit_that_stays_is_told_with_its_end(production_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    server = production_stack.start_server(rate_limit_requests=RateLimit(1, 1, HOUR))
    clock = hurried(monkeypatch, 0)
    with called(server):
        await tasks.trigger(CHILD, 1)
        with pytest.raises(RateLimited, match="1 at once and 1 more every 3,600 s; wait until") as caught:
            await tasks.trigger(CHILD, 2)

    assert len(clock.waits) == 4
    assert all(HOUR - 60 < wait < HOUR + 60 for wait in clock.waits)
    assert caught.value.reset_at is not None
    assert HOUR - 60 < caught.value.reset_at.timestamp() - clock.now() < HOUR + 60


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "sync"])
async def test_batch_beyond_the_limit_says_when_to_retry(
    production_stack: Stack, monkeypatch: pytest.MonkeyPatch, *, blocking: bool
) -> None:
    server = production_stack.start_server(rate_limit_batch_items=RateLimit(10, 10, 60))
    clock = hurried(monkeypatch, 0)
    with called(server):
        await tasks.batch_trigger(CHILD, numbers(10))
        with pytest.raises(BatchTriggerError, match="too many batch items: 5 more") as caught:
            if blocking:
                await asyncio.to_thread(batch.sync.trigger, [item(CHILD, number) for number in range(5)])
            else:
                await tasks.batch_trigger(CHILD, numbers(5))

    assert len(clock.waits) == 4
    assert (caught.value.phase, caught.value.item_count, caught.value.is_rate_limited) == ("create", 5, True)
    assert caught.value.retry_after_ms is not None
    assert 20_000 < caught.value.retry_after_ms <= 30_000


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "sync"])
async def test_stream_under_a_small_limit_arrives_whole(
    production_stack: Stack, monkeypatch: pytest.MonkeyPatch, *, blocking: bool
) -> None:
    server = production_stack.start_server(
        rate_limit_batch_items=RateLimit(200, 2_000, 1), rate_limit_requests=RateLimit(1, 1, HOUR)
    )
    clock = hurried(monkeypatch, 0.03)

    async def stream() -> AsyncIterator[Any]:
        for number in range(2_600):
            yield item(number)

    def iterator() -> Iterator[Any]:
        yield from numbers(2_600)

    with called(server):
        if blocking:
            handle: Any = await asyncio.to_thread(tasks.sync.batch_trigger, CHILD, iterator())
        else:
            handle = await tasks.batch_trigger(CHILD, stream())

    # More than the five attempts that other calls have.
    assert len(clock.waits) > 10
    assert (handle.run_count, len(handle.runs)) == (2_600, 2_600)
    assert await rows(production_stack, "select count(*) from oncue.runs") == 2_600
    assert await rows(production_stack, "select sealed_at is not null from oncue.batches")


async def test_task_is_retried_when_the_server_said(production_stack: Stack) -> None:
    server = production_stack.start_server(rate_limit_batch_items=RateLimit(4, 4, 2))
    worker = production_stack.start_worker(f"{PROGRAMS}.limited")
    await worker.announced()
    with called(server):
        handle = await tasks.trigger("sends-too-much-at-first", 4)
        # The pauses of the task itself are a minute long.
        ended = await runs.poll(handle, interval=0.05, timeout=LONG_S)

    assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", 2, 2)
