"""Wait tokens of official clients: made, shown, listed, completed, waited for."""

import uuid
from typing import Any

import pytest

from tests.clients.client import Client


async def test_created_token_is_shown_as_asked(each_client: Client) -> None:
    key = uuid.uuid4().hex
    options = {"timeout": "1h", "tags": ["b", "a"], "idempotencyKey": key, "idempotencyKeyTTL": "1d"}

    said = await each_client("waitpoints.created", options)

    token, retrieved = said["token"], said["retrieved"]
    assert set(token) == {"id", "isCached", "url", "publicAccessToken"}
    assert (token["isCached"], retrieved["status"]) == (False, "WAITING")
    assert sorted(retrieved["tags"]) == ["a", "b"]
    assert (retrieved["idempotencyKey"], retrieved["url"]) == (key, token["url"])
    assert {"timeoutAt", "createdAt", "idempotencyKeyExpiresAt"} <= retrieved.keys()
    again = await each_client("waitpoints.created", options)
    assert (again["token"]["id"], again["token"]["isCached"]) == (token["id"], True)


@pytest.mark.parametrize("output", [{"status": "approved"}, "text", "123", 123, True, [1, None], 0, "", None])
async def test_completed_token_shows_its_output(client: Client, output: Any) -> None:
    said = await client("waitpoints.completed", {"options": {}, "output": output})

    assert said["answers"] == [{"success": True}, {"success": True}]
    assert said["retrieved"]["status"] == "COMPLETED"
    assert said["retrieved"].get("output") == output
    assert "error" not in said["retrieved"]


async def test_older_client_completes_a_token_too(each_client: Client) -> None:
    said = await each_client("waitpoints.completed", {"options": {}, "output": {"status": "approved"}})

    assert said["retrieved"]["output"] == {"status": "approved"}


async def test_task_goes_on_with_what_the_token_was_given(each_client: Client) -> None:
    assert await each_client("waitpoints.waitedFor", {"status": "approved"}) == {"status": "approved"}


async def test_callback_address_completes_a_token(each_client: Client) -> None:
    said = await each_client("waitpoints.calledBack", {"from": "a webhook"})

    assert (said["status"], said["retrieved"]["output"]) == (200, {"from": "a webhook"})


async def test_token_times_out_with_an_error(each_client: Client) -> None:
    retrieved = await each_client("waitpoints.timedOut")

    assert retrieved["status"] == "TIMED_OUT"
    assert "output" not in retrieved
    assert retrieved["error"].endswith("timed out: nobody completed it in time")


async def test_list_of_tokens_pages_by_for_await(each_client: Client) -> None:
    tag = uuid.uuid4().hex
    made = [await token(each_client, tag) for _ in range(5)]

    assert await each_client("waitpoints.listed", {"tags": [tag], "limit": 2}) == made[::-1]
    assert await each_client("waitpoints.listed", {"tags": [tag], "limit": 1, "after": made[1]}) == made[:1]


async def test_list_of_tokens_pages_back_and_forth(client: Client) -> None:
    tag = uuid.uuid4().hex
    made = [await token(client, tag) for _ in range(5)][::-1]

    assert await client("waitpoints.backwards", {"tags": [tag], "limit": 2}) == [made[4:], made[2:4], made[:2]]


async def test_every_filter_of_tokens_is_understood(client: Client) -> None:
    tag, key = uuid.uuid4().hex, uuid.uuid4().hex
    made = await token(client, tag, idempotencyKey=key)
    filters = {"tags": [tag], "status": "WAITING", "idempotencyKey": key, "period": "1d"}

    assert await client("waitpoints.listed", filters) == [made]
    assert await client("waitpoints.listedSince", {"tags": [tag], "lastMs": 60_000}) == [made]
    for wrong in ({"tags": ["other"]}, {"status": "COMPLETED"}, {"idempotencyKey": "other"}):
        assert await client("waitpoints.listed", {**filters, **wrong}) == []
    assert await client("waitpoints.listedSince", {"tags": [tag], "lastMs": -30_000}) == []


async def test_unknown_token_is_not_found_at_once(client: Client) -> None:
    error = await client.refused("waitpoints.unknown")

    assert (error["class"], error["status"]) == ("NotFoundError", 404)


async def token(client: Client, tag: str, **options: Any) -> str:
    made = await client("waitpoints.created", {"tags": [tag], **options})
    token_id: str = made["token"]["id"]
    return token_id
