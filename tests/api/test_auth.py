import pytest

from oncue.api.auth import Caller, Keys
from oncue.api.signing import Signer
from oncue.engine.environments import KeyHolder, key_hash
from oncue.engine.rows import Environment
from oncue.engine.signing_keys import SigningKey
from oncue.protocol.errors import Unauthorized
from oncue.protocol.scopes import Resource

DEV = Environment(1, "dev", "DEVELOPMENT")
HOLDER = KeyHolder(7, 1, "dev", "DEVELOPMENT")
KEY = "tr_dev_sk_000000000000000000000000"
RUN = Resource("runs", "run_1")


class Database:
    """Knows one key, and counts how often it is asked."""

    def __init__(self) -> None:
        self.known = {key_hash(KEY): HOLDER}
        self.signing = [SigningKey("k1", b"1" * 32, signs=True)]
        self.asked = self.asked_by_id = self.asked_to_sign = 0

    async def find(self, digest: bytes) -> KeyHolder | None:
        self.asked += 1
        return self.known.get(digest)

    async def find_by_id(self, key: int) -> KeyHolder | None:
        self.asked_by_id += 1
        return next((holder for holder in self.known.values() if holder.key_id == key), None)

    async def load(self) -> list[SigningKey]:
        self.asked_to_sign += 1
        return self.signing

    def rotate(self, kid: str) -> None:
        retired = [SigningKey(key.kid, key.secret, signs=False) for key in self.signing]
        self.signing = [SigningKey(kid, kid.encode() * 16, signs=True), *retired]


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Server:
    """Keys and signer of one server, on a clock that is set."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.signer = Signer(database.load, clock=self.clock, age=self.clock)
        self.keys = Keys(database.find, database.find_by_id, self.signer, clock=self.clock)

    async def token(self, *scopes: str, environment: int = 1, expires: int = 900, one_time: bool = False) -> str:
        signed = await self.signer.sign(environment, 7, list(scopes), expires=expires, one_time=one_time)
        return f"Bearer {signed.decode()}"


async def test_hot_key_costs_no_query() -> None:
    database = Database()
    keys = Server(database).keys

    found = [await keys.authenticate(f"Bearer {KEY}") for _ in range(100)]

    assert (found[-1], database.asked) == (Caller(DEV, 7), 1)


async def test_revoked_key_is_refused_within_seconds() -> None:
    database, clock = Database(), Clock()
    keys = Server(database, clock).keys
    await keys.authenticate(f"Bearer {KEY}")

    database.known.clear()
    clock.seconds = 5.0

    with pytest.raises(Unauthorized, match="was revoked"):
        await keys.authenticate(f"Bearer {KEY}")


async def test_forgetting_asks_the_database_at_once() -> None:
    database = Database()
    keys = Server(database).keys
    await keys.authenticate(f"Bearer {KEY}")
    database.known.clear()

    keys.forget()

    with pytest.raises(Unauthorized):
        await keys.authenticate(f"Bearer {KEY}")


async def test_unknown_key_is_asked_for_once_a_second() -> None:
    database, clock = Database(), Clock()
    known = database.known
    database.known = {}
    keys = Server(database, clock).keys
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await keys.authenticate(f"bearer {KEY}")
    asked = database.asked

    database.known = known
    clock.seconds = 1.0

    assert await keys.authenticate(f"bearer {KEY}") == Caller(DEV, 7)
    assert asked == 1


async def test_refusal_never_repeats_the_key() -> None:
    keys = Server(Database()).keys

    with pytest.raises(Unauthorized) as refused:
        await keys.authenticate("Bearer tr_dev_sk_secretsecretsecretsecret")

    assert "secretsecret" not in str(refused.value)


async def test_key_cache_is_bounded_against_floods_of_guesses() -> None:
    keys = Server(Database()).keys

    for number in range(10_050):
        with pytest.raises(Unauthorized):
            await keys.authenticate(f"Bearer {number}")

    assert len(keys._by_hash._known) <= 10_000


async def test_token_brings_the_environment_and_rights_of_its_key() -> None:
    database = Database()
    server = Server(database)
    sent = await server.token("read:runs:run_1")

    callers = [await server.keys.authenticate(sent) for _ in range(10)]

    assert (callers[-1].environment, callers[-1].key_id) == (DEV, 7)
    assert callers[-1].token is not None
    assert callers[-1].token.scopes.cover("read", RUN)
    assert (database.asked, database.asked_by_id, database.asked_to_sign) == (0, 1, 1)


async def test_tokens_die_with_the_key_that_asked_for_them() -> None:
    database = Database()
    server = Server(database)
    sent = await server.token("read:runs")
    await server.keys.authenticate(sent)
    database.known.clear()

    server.keys.forget()

    with pytest.raises(Unauthorized, match="the API key that asked for it was revoked"):
        await server.keys.authenticate(sent)


async def test_token_of_a_revoked_key_is_refused_within_seconds() -> None:
    database, clock = Database(), Clock()
    server = Server(database, clock)
    sent = await server.token("read:runs")
    await server.keys.authenticate(sent)
    database.known.clear()

    clock.seconds = 5.0

    with pytest.raises(Unauthorized, match="was revoked"):
        await server.keys.authenticate(sent)


async def test_token_counts_in_the_environment_of_its_key_alone() -> None:
    server = Server(Database())

    with pytest.raises(Unauthorized):
        await server.keys.authenticate(await server.token("admin", environment=2))


async def test_token_expires_at_the_second_it_says() -> None:
    server = Server(Database())
    sent = await server.token("read:runs", expires=900)

    server.clock.seconds = 899.9
    await server.keys.authenticate(sent)
    server.clock.seconds = 900.0

    with pytest.raises(Unauthorized, match="has expired"):
        await server.keys.authenticate(sent)


async def test_tokens_of_a_retired_key_count_until_it_is_gone() -> None:
    database = Database()
    server = Server(database)
    before = await server.token("read:runs", expires=10_000)
    database.rotate("k2")
    server.keys.forget()

    after = await server.token("read:runs", expires=10_000)
    for sent in (before, after):
        assert (await server.keys.authenticate(sent)).key_id == 7
    database.signing = database.signing[:1]
    server.keys.forget()

    await server.keys.authenticate(after)
    with pytest.raises(Unauthorized, match="is invalid"):
        await server.keys.authenticate(before)


async def test_key_that_another_server_signs_with_is_asked_for() -> None:
    database, clock = Database(), Clock()
    other, server = Server(database, clock), Server(database, clock)
    await server.keys.authenticate(await other.token("read:runs"))
    database.rotate("k2")
    other.keys.forget()
    clock.seconds = 1.0

    assert (await server.keys.authenticate(await other.token("read:runs"))).key_id == 7


async def test_unknown_signing_keys_are_asked_for_once_a_second() -> None:
    database = Database()
    server = Server(database)
    stranger = Database()
    stranger.signing = [SigningKey("other", b"2" * 32, signs=True)]
    sent = await Server(stranger).token("admin")

    for _ in range(10):
        with pytest.raises(Unauthorized):
            await server.keys.authenticate(sent)

    assert database.asked_to_sign == 1


async def test_one_time_tokens_that_say_the_same_are_two() -> None:
    server = Server(Database())
    sent = [await server.token("trigger:tasks:a", one_time=True) for _ in range(2)]

    first, second = [(await server.keys.authenticate(each)).token for each in sent]

    assert first is not None
    assert second is not None
    assert first.one_time is not None
    assert first.one_time != second.one_time


async def test_another_spelling_of_a_signature_is_the_same_token() -> None:
    server = Server(Database())
    sent = await server.token("trigger:tasks:a", one_time=True)
    first = (await server.keys.authenticate(sent)).token
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelled = [sent[:-1] + letter for letter in alphabet] + [sent + "=", sent + "*", sent + "A"]

    taken = []
    for each in spelled:
        try:
            taken.append((await server.keys.authenticate(each)).token)
        except Unauthorized:
            continue

    assert taken
    assert first is not None
    assert {token.one_time for token in taken if token is not None} == {first.one_time}
