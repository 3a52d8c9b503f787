"""Buckets of tokens: what is let through, when again, and that time is PostgreSQL's."""

import asyncio
import datetime
from functools import partial

import pytest

from oncue.engine import rate_limits
from oncue.engine.rate_limits import Bucket, Kind, Owner, RateLimit, Wanted
from tests.engine.conftest import Engine

TEN = RateLimit(10, 5, 2)
NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def noon(production: Engine) -> Engine:
    production.moment = NOON
    return production


async def take(
    engine: Engine, amount: float = 1, *, most: float | None = None, limit: RateLimit = TEN, kind: Kind = "requests"
) -> Bucket:
    wanted = Wanted(min(amount, limit.capacity), amount, amount if most is None else most)
    return await engine.run(lambda tx: rate_limits.take(tx, Owner(engine.environment), kind, limit, wanted))


async def test_full_bucket_lets_its_capacity_through(noon: Engine) -> None:
    taken = [await take(noon) for _ in range(12)]

    assert [bucket.taken for bucket in taken] == [1] * 10 + [0] * 2
    assert [bucket.tokens for bucket in taken] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    assert taken[-1].at == NOON


async def test_tokens_come_back_evenly_up_to_capacity(noon: Engine) -> None:
    await take(noon, 10)
    await noon.advance(datetime.timedelta(seconds=0.4))
    first = await take(noon)
    again = await take(noon)
    await noon.advance(datetime.timedelta(hours=1))
    full = await take(noon)

    assert (first.taken, first.tokens) == (1, 0)
    assert again.taken == 0
    assert (full.taken, full.tokens) == (1, 9)


async def test_refused_tokens_stay_in_the_bucket(noon: Engine) -> None:
    await take(noon, 7)
    refused = await take(noon, 4)
    smaller = await take(noon, 3)

    assert (refused.taken, refused.tokens) == (0, 3)
    assert (smaller.taken, smaller.tokens) == (3, 0)


async def test_as_many_are_taken_in_advance_as_there_are(noon: Engine) -> None:
    first = await take(noon, 1, most=8)
    second = await take(noon, 1, most=8)
    third = await take(noon, 1, most=8)

    assert [bucket.taken for bucket in (first, second, third)] == [8, 2, 0]


async def test_fresh_bucket_gives_no_more_than_it_holds(noon: Engine) -> None:
    assert (await take(noon, 1, most=80)).taken == 10


async def test_more_than_the_capacity_leaves_a_debt(noon: Engine) -> None:
    whole = await take(noon, 35)
    await noon.advance(datetime.timedelta(seconds=10))
    early = await take(noon)
    await noon.advance(datetime.timedelta(seconds=0.4))
    late = await take(noon)

    assert (whole.taken, whole.tokens) == (35, -25)
    assert (early.taken, early.tokens) == (0, 0)
    assert late.taken == 1


async def test_more_than_the_capacity_waits_for_a_full_bucket(noon: Engine) -> None:
    await take(noon)

    assert (await take(noon, 35)).taken == 0
    await noon.advance(datetime.timedelta(seconds=0.4))
    assert (await take(noon, 35)).taken == 35


async def test_each_environment_and_kind_has_its_own_bucket(engine: Engine, noon: Engine) -> None:
    engine.moment = NOON
    await take(noon, 10)

    assert (await take(noon, kind="batch_items")).taken == 1
    assert (await take(engine)).taken == 1
    assert (await take(noon)).taken == 0


async def test_callers_at_once_get_no_more_than_capacity(noon: Engine) -> None:
    taken = await asyncio.gather(*(take(noon, 1, most=3) for _ in range(40)))

    assert sum(bucket.taken for bucket in taken) == 10


async def test_tokens_given_back_can_be_taken_again(noon: Engine) -> None:
    await take(noon, 35)

    await noon.run(lambda tx: rate_limits.give_back(tx, Owner(noon.environment), "requests", TEN, 30))
    first = await take(noon, 5)
    await noon.run(lambda tx: rate_limits.give_back(tx, Owner(noon.environment), "requests", TEN, 500))
    second = await take(noon, 10)

    assert (first.taken, first.tokens) == (5, 0)
    assert (second.taken, second.tokens) == (10, 0)


async def test_late_transaction_fills_no_time_twice(noon: Engine) -> None:
    """Who began first may get the row last: the time between is not to be counted again."""
    await take(noon, 10)
    await noon.advance(datetime.timedelta(seconds=2))
    later = await take(noon, 5)
    noon.moment = NOON
    earlier = await take(noon)
    noon.moment = later.at

    assert (later.taken, later.tokens) == (5, 0)
    assert (earlier.taken, earlier.at) == (0, later.at)
    assert (await take(noon)).taken == 0


async def test_clock_that_was_wrong_holds_nobody_up_long(noon: Engine) -> None:
    noon.moment = NOON + datetime.timedelta(days=1)
    await take(noon, 10)
    noon.moment = NOON
    refused = await take(noon)
    noon.moment = NOON + datetime.timedelta(seconds=10.4)

    assert (refused.taken, refused.at) == (0, NOON + datetime.timedelta(seconds=10))
    assert (await take(noon)).taken == 1


async def test_lost_bucket_is_full_again(noon: Engine) -> None:
    await take(noon, 10)

    await noon.run(lambda tx: tx.execute("truncate oncue.rate_limits"))

    assert (await take(noon, 10)).taken == 10


async def test_lower_capacity_holds_at_once(noon: Engine) -> None:
    await take(noon)

    assert (await take(noon, 3, limit=RateLimit(3, 1, 1))).tokens == 0


async def test_buckets_of_tokens_unused_for_a_day_are_forgotten(noon: Engine) -> None:
    tokens = [Owner(noon.environment, bytes([number]) * 32) for number in (1, 2)]
    one = Wanted(1, 1, 1)
    for token in tokens:
        await noon.run(partial(rate_limits.take, owner=token, kind="public_requests", limit=TEN, wanted=one))
    await take(noon)
    await noon.advance(datetime.timedelta(hours=20))
    await noon.run(partial(rate_limits.take, owner=tokens[0], kind="public_requests", limit=TEN, wanted=one))
    await noon.advance(datetime.timedelta(hours=5))
    await noon.run(rate_limits.forget)

    left = await noon.run(lambda tx: tx.fetch("select kind, token from oncue.rate_limits order by kind, token"))
    assert [tuple(row) for row in left] == [("public_requests", tokens[0].token), ("requests", b"")]
