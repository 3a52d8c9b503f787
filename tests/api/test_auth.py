import pytest

from oncue.api.auth import Keys
from oncue.engine.environments import key_hash
from oncue.engine.rows import Environment
from oncue.protocol.errors import Unauthorized

DEV = Environment(1, "dev", "DEVELOPMENT")
KEY = "tr_dev_sk_000000000000000000000000"


class Database:
    """Knows one key, and counts how often it is asked."""

    def __init__(self) -> None:
        self.known = {key_hash(KEY): DEV}
        self.asked = 0

    async def find(self, digest: bytes) -> Environment | None:
        self.asked += 1
        return self.known.get(digest)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_hot_key_costs_no_query() -> None:
    database = Database()
    keys = Keys(database.find, clock=Clock())

    found = [await keys.authenticate(f"Bearer {KEY}") for _ in range(100)]

    assert (found[-1], database.asked) == (DEV, 1)


async def test_revoked_key_is_refused_within_seconds() -> None:
    database, clock = Database(), Clock()
    keys = Keys(database.find, clock=clock)
    await keys.authenticate(f"Bearer {KEY}")

    database.known.clear()
    clock.seconds = 5.0

    with pytest.raises(Unauthorized, match="was revoked"):
        await keys.authenticate(f"Bearer {KEY}")


async def test_forgetting_asks_the_database_at_once() -> None:
    database = Database()
    keys = Keys(database.find, clock=Clock())
    await keys.authenticate(f"Bearer {KEY}")
    database.known.clear()

    keys.forget()

    with pytest.raises(Unauthorized):
        await keys.authenticate(f"Bearer {KEY}")


async def test_unknown_key_is_asked_for_once_a_second() -> None:
    database, clock = Database(), Clock()
    known = database.known
    database.known = {}
    keys = Keys(database.find, clock=clock)
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await keys.authenticate(f"bearer {KEY}")
    asked = database.asked

    database.known = known
    clock.seconds = 1.0

    assert await keys.authenticate(f"bearer {KEY}") == DEV
    assert asked == 1


async def test_refusal_never_repeats_the_key() -> None:
    keys = Keys(Database().find)

    with pytest.raises(Unauthorized) as refused:
        await keys.authenticate("Bearer tr_dev_sk_secretsecretsecretsecret")

    assert "secretsecret" not in str(refused.value)


async def test_key_cache_is_bounded_against_floods_of_guesses() -> None:
    keys = Keys(Database().find)

    for number in range(10_050):
        with pytest.raises(Unauthorized):
            await keys.authenticate(f"Bearer {number}")

    assert len(keys._seen) <= 10_000
