"""Keys as the official client hashes them: SHA-256 of the parts and the scope's, joined with a dash."""

from collections.abc import Sequence
from hashlib import sha256

import pytest

from oncue import idempotency_keys, tasks
from oncue.protocol.errors import NotFound
from oncue.sdk import idempotency
from oncue.sdk.idempotency import Scope
from tests.sdk.conftest import FakeApi, Reply

RUN = "run_0123"


@pytest.mark.parametrize(
    ("key", "scope", "inside", "hashed"),
    [
        ("abc", "global", False, "abc"),
        ("abc", "run", False, "abc"),
        ("abc", "attempt", False, "abc"),
        ("abc", "global", True, "abc"),
        ("abc", "run", True, f"abc-{RUN}"),
        ("abc", "attempt", True, f"abc-{RUN}-2"),
        (["a", "b-c"], "run", True, f"a-b-c-{RUN}"),
        ("größe", "global", True, "größe"),
    ],
)
def test_hash_is_that_of_key_and_scope(key: str | Sequence[str], scope: Scope, inside: bool, hashed: str) -> None:
    made = idempotency.derive(key, scope, run_id=RUN if inside else None, attempt=2 if inside else None)

    assert made == sha256(hashed.encode()).hexdigest()
    assert (made.key, made.scope) == ("-".join([key] if isinstance(key, str) else key), scope)


def test_published_vector_of_the_hash_holds() -> None:
    assert idempotency_keys.create("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


async def test_made_key_is_sent_with_what_it_was_made_from(api: FakeApi) -> None:
    key = idempotency_keys.create(["order", "7"], scope="global")

    await tasks.trigger("child", idempotency_key=key)
    await tasks.trigger("child", idempotency_key=str(key))

    first, second = (call.json["options"] for call in api.seen)
    assert first["idempotencyKey"] == second["idempotencyKey"] == sha256(b"order-7").hexdigest()
    assert first["idempotencyKeyOptions"] == {"key": "order-7", "scope": "global"}
    assert "idempotencyKeyOptions" not in second


@pytest.mark.parametrize("key", ["", [], ["a", 1], 5, "x" * 2049])
def test_nonsense_is_no_key_and_says_what_is(key: object) -> None:
    with pytest.raises(ValueError, match=r"idempotency_key=.* is not accepted; expected a string or a sequence"):
        idempotency_keys.create(key)  # type: ignore[arg-type]


def test_unknown_scope_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="scope='task' is not accepted; expected one of run, attempt, global"):
        idempotency_keys.create("a", scope="task")  # type: ignore[arg-type]


async def test_reset_names_hash_and_task(api: FakeApi) -> None:
    api.prepare("POST /api/v1/idempotencyKeys/", Reply(200, {"id": "x"}))

    assert await idempotency_keys.reset("child", "abc", scope="global") == sha256(b"abc").hexdigest()

    (call,) = api.seen
    assert api.paths == [f"POST /api/v1/idempotencyKeys/{sha256(b'abc').hexdigest()}/reset"]
    assert call.json == {"taskIdentifier": "child"}


async def test_key_that_may_be_a_hash_is_tried_as_it_is_first(api: FakeApi) -> None:
    key = "k" * 64
    api.prepare("POST /api/v1/idempotencyKeys/", Reply(404, {"error": "none"}), Reply(200, {"id": "x"}))

    assert await idempotency_keys.reset("child", key) == sha256(key.encode()).hexdigest()

    assert [path.split("/")[4] for path in api.paths] == [key, sha256(key.encode()).hexdigest()]


async def test_reset_of_a_key_nobody_has_is_told(api: FakeApi) -> None:
    api.prepare("POST /api/v1/idempotencyKeys/", Reply(404, {"error": "No runs found"}))

    with pytest.raises(NotFound, match="No runs found"):
        await idempotency_keys.reset("child", idempotency_keys.create("abc"))


@pytest.mark.parametrize(("scope", "needs"), [("run", "parent_run_id="), ("attempt", "parent_run_id=")])
def test_reset_outside_of_a_run_needs_the_run_it_was_made_in(api: FakeApi, scope: Scope, needs: str) -> None:
    with pytest.raises(ValueError, match=needs):
        idempotency_keys.sync.reset("child", "abc", scope=scope)

    assert api.seen == []
