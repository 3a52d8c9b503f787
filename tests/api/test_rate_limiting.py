"""Servers spend what they take from shared buckets: time is set, for them and for the database alike."""

import asyncio
import datetime
import logging
from typing import Any

import pytest

from oncue.api import rate_limiting
from oncue.api.rate_limiting import RateLimits, Standing
from oncue.engine import rate_limits
from oncue.engine.rate_limits import BATCH_ITEMS, PUBLIC_REQUESTS, REQUESTS, Bucket, Kind, Owner, RateLimit, Wanted
from oncue.engine.rows import Environment
from oncue.protocol.errors import Unavailable
from oncue.store.errors import DatabaseUnavailable
from oncue.store.pool import Pool, transaction

PROD = Owner(Environment(7, "prod", "PRODUCTION"))
DEV = Owner(Environment(8, "dev", "DEVELOPMENT"))
NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
NOON_MS = round(NOON.timestamp() * 1000)
SEVEN_FIFTY = RateLimit(750, 250, 10)


class Time:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Server:
    """One server's side of the limits, which counts how often it asks the database."""

    def __init__(self, db: Pool, time: Time, limit: RateLimit | None) -> None:
        self.limits = RateLimits(
            {REQUESTS: limit, PUBLIC_REQUESTS: limit, BATCH_ITEMS: limit},
            take=self._take,
            give_back=self._give_back,
            clock=time,
        )
        self.asked = 0
        self.is_away = False
        self._db, self._time = db, time

    async def take(self, amount: int = 1, *, kind: Kind = REQUESTS) -> Standing:
        standing = await self.limits.take(PROD, kind, amount)
        assert standing is not None
        return standing

    async def granted(self, times: int, amount: int = 1) -> int:
        """Ask again and again, and return how often it was let through."""
        return sum([(await self.take(amount)).refusal is None for _ in range(times)])

    async def _take(self, owner: Owner, kind: Kind, limit: RateLimit, wanted: Wanted) -> Bucket:
        self.asked += 1
        if self.is_away:
            await asyncio.sleep(0)
            raise DatabaseUnavailable("PostgreSQL does not answer")
        bucket: Bucket = await self._at_the_time(rate_limits.take, owner, kind, limit, wanted)
        return bucket

    async def _give_back(self, owner: Owner, kind: Kind, limit: RateLimit, amount: float) -> None:
        await self._at_the_time(rate_limits.give_back, owner, kind, limit, amount)

    async def _at_the_time(self, work: Any, *arguments: Any) -> Any:
        now = NOON + datetime.timedelta(seconds=self._time.seconds)
        async with transaction(self._db) as tx:
            await tx.execute("select set_config('oncue.now', $1, true)", now.isoformat())
            return await work(tx, *arguments)


@pytest.fixture
def time() -> Time:
    return Time()


async def test_many_requests_cost_few_queries(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(100_000, 100_000, 10))

    assert await server.granted(10_000) == 10_000
    assert server.asked == 15


async def test_small_limit_is_kept_to_the_token(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(5, 1, 60))

    assert await server.granted(20) == 5
    time.seconds = 59.0
    assert await server.granted(5) == 0
    time.seconds = 60.0
    assert await server.granted(5) == 1


async def test_refusals_cost_no_query_until_there_can_be_enough(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 10, 20))
    await server.granted(10)
    asked = server.asked

    assert await server.granted(1_000) == 0
    time.seconds = 1.9
    assert await server.granted(1_000) == 0
    assert server.asked == asked
    time.seconds = 2.0
    assert await server.granted(2) == 1
    assert server.asked == asked + 1


async def test_refusal_is_not_believed_for_long(db: Pool, time: Time) -> None:
    """Another server may have given tokens back, or a crash emptied the table."""
    server, other = Server(db, time, RateLimit(10, 1, 3_600)), Server(db, time, RateLimit(10, 1, 3_600))
    await other.take(10)
    await server.granted(1)
    await other.limits.give_back(PROD, REQUESTS, 10)

    assert await server.granted(10) == 0
    time.seconds = 5.0
    assert await server.granted(10) == 10


async def test_smaller_amount_passes_where_a_larger_is_refused(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 1, 1))
    await server.take(8)

    refused = [await server.take(5) for _ in range(3)]
    smaller = await server.take(2)

    assert all(standing.refusal for standing in refused)
    assert (refused[0].remaining, refused[0].wait_s, refused[0].reset_ms) == (2, 3.0, NOON_MS + 3_000)
    assert smaller.refusal is None


async def test_larger_than_the_capacity_passes_when_full(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 1, 1))

    assert (await server.take(500)).refusal is None
    refused = await server.take(500)

    assert (refused.remaining, refused.wait_s) == (0, 500.0)
    time.seconds = 500.0
    assert (await server.take(500)).refusal is None


async def test_callers_at_once_share_their_queries(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(50, 1, 1))

    standings = await asyncio.gather(*(server.take() for _ in range(200)))

    assert sum(standing.refusal is None for standing in standings) == 50
    assert server.asked <= 3


async def test_two_servers_share_one_bucket(db: Pool, time: Time) -> None:
    servers = [Server(db, time, SEVEN_FIFTY) for _ in range(2)]

    granted = await asyncio.gather(*(server.granted(1_000) for server in servers))

    assert sum(granted) == 750
    assert sum(server.asked for server in servers) < 200


async def test_servers_never_exceed_capacity_and_refill(db: Pool, time: Time) -> None:
    servers = [Server(db, time, SEVEN_FIFTY) for _ in range(3)]
    total = 0
    for second in range(60):
        time.seconds = second
        total += sum(await asyncio.gather(*(server.granted(40 + 7 * second % 30) for server in servers)))

        assert total <= 750 + 25 * second


async def test_limit_is_used_to_the_full_by_busy_servers(db: Pool, time: Time) -> None:
    servers = [Server(db, time, SEVEN_FIFTY) for _ in range(2)]
    total = 0
    for tenth in range(300):
        time.seconds = tenth / 10
        total += sum([await server.granted(20) for server in servers])

    assert 750 + 25 * 29 <= total <= 750 + 25 * 30


async def test_rare_caller_takes_little_that_it_does_not_use(db: Pool, time: Time) -> None:
    server, other = Server(db, time, RateLimit(1_000, 1, 3_600)), Server(db, time, RateLimit(1_000, 1, 3_600))
    for second in range(0, 300, 3):
        time.seconds = second
        await server.take()

    assert await other.granted(1_000) == 900


async def test_stale_tokens_are_dropped_and_come_back(db: Pool, time: Time) -> None:
    server, other = Server(db, time, RateLimit(1_000, 1_000, 10)), Server(db, time, RateLimit(1_000, 1_000, 10))
    await server.granted(20)
    held = server.limits._known[PROD.environment.id, REQUESTS, b""].held
    time.seconds = 2.0

    assert held > 0
    assert await other.granted(1_000) == 1_000
    assert await server.granted(20) == 0


async def test_slow_limit_is_kept_to_the_token(db: Pool, time: Time) -> None:
    """What a server does not spend would not come back for hours."""
    server, other = Server(db, time, RateLimit(1_000, 1, 3_600)), Server(db, time, RateLimit(1_000, 1, 3_600))
    await server.granted(100)
    time.seconds = 2.0

    assert await other.granted(1_000) == 900


async def test_tokens_are_spent_once_while_more_are_fetched(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(1_000, 1_000, 10))
    await server.granted(40)

    standings = await asyncio.gather(server.take(500), *(server.take() for _ in range(20)))

    assert all(standing.refusal is None for standing in standings)
    assert await server.granted(1_000) == 1_000 - 40 - 500 - 20


async def test_answers_tell_what_is_left_and_when_it_is_full(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 2, 1))

    first = await server.take(4)
    time.seconds = 0.75
    second = await server.take()

    assert (first.limit, first.remaining, first.reset_ms) == (10, 6, NOON_MS + 2_000)
    assert (second.remaining, second.reset_ms) == (6, NOON_MS + 2_500)


async def test_refusal_says_until_when_and_what_to_raise(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 2, 1))
    await server.take(10)
    await server.take(10, kind=BATCH_ITEMS)

    refused, items = await server.take(), await server.take(9, kind=BATCH_ITEMS)

    assert refused.refusal == (
        "too many requests: over the limit of this environment, which is 10 at once and 2 more every 1 s; wait until "
        "2030-01-01T12:00:00.500+00:00, or raise ONCUE_RATE_LIMIT_REQUESTS"
    )
    assert items.refusal is not None
    assert items.refusal.startswith("too many batch items: 9 more are over the limit")
    assert items.refusal.endswith("wait until 2030-01-01T12:00:04.500+00:00, or raise ONCUE_RATE_LIMIT_BATCH_ITEMS")


async def test_tokens_that_are_given_back_are_there_at_once(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 1, 3_600))
    await server.take(10)
    refused = await server.take()

    await server.limits.give_back(PROD, REQUESTS, 4)

    assert refused.refusal is not None
    assert await server.granted(10) == 4


async def test_development_and_no_limit_ask_nobody(db: Pool, time: Time) -> None:
    limited, free = Server(db, time, RateLimit(1, 1, 3_600)), Server(db, time, None)

    assert [await limited.limits.take(DEV, REQUESTS, 5) for _ in range(5)] == [None] * 5
    assert await free.limits.take(PROD, REQUESTS, 5) is None
    assert (limited.asked, free.asked) == (0, 0)


async def test_each_public_token_has_its_own_limit(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(2, 1, 60))
    first, second = (PROD._replace(token=bytes([number]) * 32) for number in (1, 2))

    async def granted(owner: Owner) -> int:
        standings = [await server.limits.take(owner, PUBLIC_REQUESTS, 1) for _ in range(4)]
        return sum(standing is not None and standing.refusal is None for standing in standings)

    assert [await granted(owner) for owner in (first, second)] == [2, 2]
    assert await server.granted(4) == 2
    refused = await server.limits.take(first, PUBLIC_REQUESTS, 1)
    assert refused is not None
    assert refused.refusal is not None
    assert "the limit of this public access token, which is 2 at once" in refused.refusal
    assert refused.refusal.endswith("or raise ONCUE_RATE_LIMIT_PUBLIC_REQUESTS")


async def test_forgotten_buckets_are_asked_for_anew(db: Pool, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiting, "_MOST_KNOWN", 3)
    server = Server(db, time, RateLimit(2, 1, 60))
    owners = [PROD._replace(token=bytes([number]) * 32) for number in range(5)]
    for owner in owners + owners:
        standing = await server.limits.take(owner, PUBLIC_REQUESTS, 1)
        assert standing is not None
        assert standing.refusal is None
    refused = await server.limits.take(owners[0], PUBLIC_REQUESTS, 1)

    assert refused is not None
    assert refused.refusal is not None
    assert len(server.limits._known) == 3
    await server.limits.give_back(owners[1], PUBLIC_REQUESTS, 1)
    again = await server.limits.take(owners[1], PUBLIC_REQUESTS, 1)
    assert again is not None
    assert again.refusal is None


async def test_callers_who_wait_together_fail_together(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(10, 1, 3_600))
    server.is_away = True
    failed = await asyncio.gather(*(server.take() for _ in range(5)), return_exceptions=True)
    asked = server.asked
    server.is_away = False

    assert all(isinstance(each, Unavailable) for each in failed)
    assert asked == 1
    assert await server.granted(20) == 10


async def test_failed_query_keeps_what_was_held(db: Pool, time: Time) -> None:
    server = Server(db, time, RateLimit(1_000, 1_000, 10))
    await server.granted(40)
    held = server.limits._known[PROD.environment.id, REQUESTS, b""].held
    server.is_away = True
    with pytest.raises(Unavailable):
        await server.take(100)
    asked = server.asked

    assert held > 0
    assert await server.granted(int(held)) == held
    assert server.asked == asked


async def test_reached_limit_is_logged_once_a_minute(db: Pool, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(db, time, RateLimit(1, 1, 10))
    with caplog.at_level(logging.WARNING, "oncue"):
        await server.granted(50)
        time.seconds = 20.0
        await server.granted(50)
        soon = len(caplog.records)
        time.seconds = 60.0
        await server.granted(50)

    told = [vars(record)["fields"] for record in caplog.records]
    assert (soon, len(told)) == (1, 2)
    assert told[0] == {
        "environment": "prod", "kind": "requests", "capacity": 1, "refill": 1, "seconds": 10, "wait_ms": 10_000,
    }  # fmt: skip
