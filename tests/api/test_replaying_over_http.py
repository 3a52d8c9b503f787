"""Replaying over HTTP, as official clients ask for it."""

from typing import Any

import pytest

from oncue.protocol import ids
from tests.api.client import Client

KEY = "x-trigger-request-idempotency-key"


async def test_replay_needs_no_body(client: Client) -> None:
    worker = await client.announce("t")
    run = await client.trigger("t", {"a": 1}, tags=["x"])
    assert await client.claim_runs(worker) == [run]

    reply = await client.post(f"/api/v1/runs/{run}/replay")

    assert (reply.status, reply.body["isCached"], reply.body["taskIdentifier"]) == (200, False, "t")
    shown = (await client.get(f"/api/v3/runs/{reply.body['id']}")).body
    assert (shown["payload"], shown["tags"], shown["replayedFrom"]) == ({"a": 1}, ["x"], run)
    assert await client.claim_runs(worker) == [reply.body["id"]]


async def test_replay_takes_what_is_said_anew(client: Client) -> None:
    run = await client.trigger("t", {"a": 1})

    body = {"payload": '{"json":5}', "payloadType": "application/super+json", "delay": "1h", "unheardOf": 1}
    reply = await client.post(f"/api/v1/runs/{run}/replay", body)

    shown = (await client.get(f"/api/v3/runs/{reply.body['id']}")).body
    assert (reply.status, shown["payload"], shown["status"]) == (200, 5, "DELAYED")


async def test_replay_delivered_twice_is_one(client: Client) -> None:
    run = await client.trigger("t")

    first, again = [await client.post(f"/api/v1/runs/{run}/replay", {}, headers={KEY: "the-same"}) for _ in range(2)]

    assert first.body == again.body


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"maxAttempts": 0}, "maxAttempts: found 0; expected 1 to 250"),
        ({"queue": "no blanks"}, "queue: 'no blanks' is not a queue name"),
        ({"machine": "huge"}, "machine: found 'huge'"),
        ({"version": 5}, "version: expected str"),
        ([], "expected object"),
    ],
)
async def test_refused_replay_names_the_field(client: Client, body: Any, error: str) -> None:
    run = await client.trigger("t")

    reply = await client.post(f"/api/v1/runs/{run}/replay", body)

    assert reply.status == 400
    assert error in reply.body["error"]


async def test_run_elsewhere_cannot_be_replayed(client: Client, prod_client: Client) -> None:
    run = await client.trigger("t")

    unknown = await client.post(f"/api/v1/runs/{ids.new_run_id()}/replay")
    strange = await prod_client.post(f"/api/v1/runs/{run}/replay")

    assert (unknown.status, strange.status) == (404, 404)
