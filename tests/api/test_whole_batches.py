"""Batches whose items come with the request that makes them, as older clients send them."""

import io
import uuid
from typing import Any

import pytest

from tests.api.client import Client

WHOLE = "/api/v2/tasks/batch"


async def batch(client: Client, made: str) -> Any:
    return (await client.get(f"/api/v2/batches/{made}")).body


async def run(client: Client, made: str) -> Any:
    return (await client.get(f"/api/v3/runs/{made}")).body


async def test_all_items_become_runs_at_once(client: Client) -> None:
    items = [{"task": "add", "payload": 1, "options": {"tags": ["a"]}}, {"task": "other", "payload": {"b": 2}}]

    reply = await client.post(WHOLE, {"items": items})

    assert (reply.status, reply.body["runCount"]) == (202, 2)
    assert "x-trigger-jwt" in reply.headers
    shown = await batch(client, reply.body["id"])
    assert (shown["status"], shown["runCount"]) == ("PROCESSING", 2)
    first, second = [await run(client, each) for each in shown["runs"]]
    assert (first["taskIdentifier"], first["payload"], first["tags"]) == ("add", 1, ["a"])
    assert (second["taskIdentifier"], second["payload"], second["batchId"]) == ("other", {"b": 2}, reply.body["id"])


async def test_first_version_lists_its_runs(client: Client) -> None:
    known = await client.trigger("add", idempotencyKey="k")
    items = [{"task": "add", "options": {"idempotencyKey": "k"}}, {"task": "add"}]

    made = (await client.post("/api/v1/tasks/batch", {"items": items})).body

    shown = await batch(client, made["id"])
    assert made["isCached"] is False
    assert made["runs"] == [
        {"id": known, "taskIdentifier": "add", "isCached": True, "idempotencyKey": "k"},
        {"id": shown["runs"][1], "taskIdentifier": "add", "isCached": False},
    ]


async def test_task_in_the_path_is_that_of_all_items(client: Client) -> None:
    reply = await client.post("/api/v1/tasks/add%2Fup/batch", {"items": [{"payload": 1}, {"payload": 2}]})

    made = reply.body
    assert made["runs"] == (await batch(client, made["batchId"]))["runs"]
    assert {(await run(client, each))["taskIdentifier"] for each in made["runs"]} == {"add/up"}


async def test_request_delivered_again_makes_nothing_new(client: Client) -> None:
    headers = {"x-trigger-request-idempotency-key": uuid.uuid4().hex}
    first, again = [await client.post(WHOLE, {"items": [{"task": "add"}]}, headers=headers) for _ in range(2)]

    assert first.body == again.body
    assert len((await client.get("/api/v1/runs")).body["data"]) == 1


async def test_request_delivered_again_with_other_items_is_refused(client: Client) -> None:
    headers = {"x-trigger-request-idempotency-key": uuid.uuid4().hex}
    for path in (WHOLE, "/api/v1/tasks/batch"):
        await client.post(path, {"items": [{"task": "add"}]}, headers=headers)
        reply = await client.post(path, {"items": [{"task": "add"}] * 2}, headers=headers)

        assert (reply.status, "by the same request" in reply.body["error"]) == (422, True), reply


async def test_first_version_says_that_a_key_has_a_batch(client: Client) -> None:
    headers, path = {"idempotency-key": "mine"}, "/api/v1/tasks/batch"
    first, again = [(await client.post(path, {"items": [{"task": "add"}]}, headers=headers)).body for _ in range(2)]
    other = await client.post(path, {"items": [{"task": "other"}]}, headers=headers)

    assert (first["isCached"], again["isCached"]) == (False, True)
    assert first["runs"] == again["runs"]
    assert (other.status, "of other tasks" in other.body["error"]) == (422, True)


async def test_key_stands_for_the_batch_that_was_made(client: Client) -> None:
    headers = {"idempotency-key": "mine"}
    first, again = [await client.post(WHOLE, {"items": [{"task": "add"}]}, headers=headers) for _ in range(2)]
    other = await client.post(WHOLE, {"items": [{"task": "add"}] * 2}, headers=headers)

    assert first.body == again.body
    assert (other.status, "same idempotency key" in other.body["error"]) == (422, True)


async def test_bad_item_fails_alone(client: Client) -> None:
    items = [{"task": "add", "options": {"delay": "soon"}}, {"task": "add"}]

    made = (await client.post(WHOLE, {"items": items})).body

    first, second = [await run(client, each) for each in (await batch(client, made["id"]))["runs"]]
    assert (first["status"], second["status"]) == ("SYSTEM_FAILURE", "PENDING_VERSION")
    assert "options.delay: 'soon' is neither a duration nor a date" in first["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "items is missing"),
        ({"items": []}, 400, "runCount: found 0; expected 1 to 500"),
        ({"items": [{"task": "add"}] * 501}, 400, "Batch runCount of 501 exceeds maximum allowed of 500"),
        ({"items": [{"payload": 1}]}, 400, "items[0].task is missing"),
        ({"items": [{"task": "add", "options": {"ttl": []}}]}, 400, "items[0].options.ttl: expected"),
    ],
)
async def test_what_is_no_batch_is_refused(shared_client: Client, body: Any, status: int, message: str) -> None:
    reply = await shared_client.post(WHOLE, body)

    assert (reply.status, message in reply.body["error"]) == (status, True), reply


async def test_body_that_is_too_large_is_refused(shared_client: Client) -> None:
    body = b'{"items": [{"task": "add", "payload": "' + b"x" * 1_048_576 + b'"}]}'

    reply = await shared_client.send("POST", WHOLE, data=io.BytesIO(body))

    assert (reply.status, "1,048,576" in reply.body["error"]) == (413, True), reply
