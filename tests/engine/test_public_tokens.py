"""Keys that sign and tokens that count once, over time."""

import datetime
from typing import Any

import msgspec

from oncue.engine import one_time_tokens, requests, signing_keys, triggering, upkeep
from oncue.engine.requests import OneTimeToken
from oncue.engine.triggering import Triggered
from oncue.protocol.errors import ApiError
from tests.engine.conftest import Engine, request

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)


async def kids(engine: Engine) -> list[tuple[str, bool]]:
    return [(key.kid, key.signs) for key in await engine.run(signing_keys.in_force)]


async def test_first_key_is_made_once_by_any_server(engine: Engine) -> None:
    await engine.run(signing_keys.ensure)
    made = await kids(engine)
    await engine.run(signing_keys.ensure)

    assert await kids(engine) == made
    assert [signs for _, signs in made] == [True]


async def test_replaced_keys_count_for_as_long_as_a_token_lives(engine: Engine) -> None:
    await engine.run(signing_keys.ensure)
    ((first, _),) = await kids(engine)

    second = await engine.run(signing_keys.rotate)

    assert await kids(engine) == [(second, True), (first, False)]
    await engine.advance(30 * DAY)
    assert await kids(engine) == [(second, True), (first, False)]
    await engine.advance(HOUR)
    assert await kids(engine) == [(second, True)]


async def test_replaced_keys_are_forgotten_by_upkeep(engine: Engine) -> None:
    await engine.run(signing_keys.ensure)
    await engine.run(signing_keys.rotate)

    await upkeep.make_partitions(engine.pool)
    kept = await engine.pool.fetchval("select count(*) from oncue.signing_keys")
    await engine.pool.execute("update oncue.signing_keys set retired_at = retired_at - interval '31 days'")
    await upkeep.make_partitions(engine.pool)

    assert (kept, await engine.pool.fetchval("select count(*) from oncue.signing_keys")) == (2, 1)


async def test_rotation_at_once_leaves_one_key(engine: Engine) -> None:
    await engine.run(signing_keys.ensure)
    await engine.run(signing_keys.rotate)

    last = await engine.run(lambda tx: signing_keys.rotate(tx, at_once=True))

    assert await kids(engine) == [(last, True)]


async def token(engine: Engine, *, lasts: datetime.timedelta = 30 * DAY) -> OneTimeToken:
    return OneTimeToken(b"h" * 32, await engine.now() + lasts)


async def use(engine: Engine, one_time: OneTimeToken, *keys: str | None) -> list[Any]:
    """Trigger with a token, all in one transaction; returns the run of each, or None where it was refused."""
    runs = [msgspec.structs.replace(requests.plan("a", request(), request_key=key), one_time=one_time) for key in keys]
    made: list[Triggered | ApiError] = await engine.run(
        lambda tx: triggering.trigger_many(tx, engine.environment, runs, effects=engine.effects)
    )
    return [each.run_id if isinstance(each, Triggered) else None for each in made]


async def test_of_one_group_the_first_and_its_repetitions_count(engine: Engine) -> None:
    one, other, nameless, again = await use(engine, await token(engine), "a", "b", None, "a")

    assert one == again
    assert (other, nameless) == (None, None)


async def test_repetition_counts_while_its_request_is_known(engine: Engine) -> None:
    one_time = await token(engine)
    (first,) = await use(engine, one_time, "a")

    await engine.advance(22 * HOUR)
    assert await use(engine, one_time, "a") == [first]
    await engine.advance(2 * HOUR)

    assert await use(engine, one_time, "a") == [None]


async def test_used_tokens_are_remembered_until_they_expire(engine: Engine) -> None:
    await use(engine, await token(engine, lasts=HOUR), "a")
    count = "select count(*) from oncue.one_time_tokens"

    left = []
    for _ in range(3):
        await engine.run(one_time_tokens.forget)
        left.append(await engine.pool.fetchval(count))
        await engine.advance(1.1 * HOUR)

    # A server whose clock is behind may let its bearer through for a while.
    assert left == [1, 1, 0]
