"""Idempotency keys as official clients make, hash and reset them."""

import hashlib
import uuid

import pytest

from tests.clients.client import Client


@pytest.mark.parametrize("scope", ["run", "attempt", "global"])
async def test_created_key_stands_for_one_run(each_client: Client, scope: str) -> None:
    key = uuid.uuid4().hex[:20]

    said = await each_client("keys.created", {"key": key, "scope": scope})

    assert said["hash"] == hashlib.sha256(key.encode()).hexdigest()
    assert (said["first"]["isCached"], said["second"]["isCached"]) == (False, True)
    assert said["first"]["id"] == said["second"]["id"]
    assert said["shown"] == key


@pytest.mark.parametrize("parts", [1, 3])
async def test_raw_key_is_hashed_by_the_client(each_client: Client, parts: int) -> None:
    key = [uuid.uuid4().hex[:20] for _ in range(parts)]

    first, second = await each_client("keys.raw", key[0] if parts == 1 else key)

    assert (first["id"], first["isCached"], second["isCached"]) == (second["id"], False, True)


async def test_key_lapses_with_its_time_to_live(client: Client) -> None:
    assert await client("keys.lapsed", uuid.uuid4().hex) is False


@pytest.mark.parametrize("scope", ["global"])
async def test_reset_key_makes_a_new_run(each_client: Client, scope: str) -> None:
    said = await each_client("keys.reset", {"key": uuid.uuid4().hex[:20], "scope": scope})

    assert said["answer"] == {"id": said["hash"]}
    assert said["isNew"] is True


async def test_reset_takes_the_key_that_create_made(each_client: Client) -> None:
    assert await each_client("keys.resetCreated", uuid.uuid4().hex[:20]) is True


async def test_reset_of_an_unknown_key_is_not_found(client: Client) -> None:
    error = await client.refused("keys.resetUnknown", uuid.uuid4().hex[:20])

    assert (error["class"], error["status"]) == ("NotFoundError", 404)
    assert "No runs found with idempotency key" in error["message"]
