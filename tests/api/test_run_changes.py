"""Rescheduling over HTTP, as official clients ask for it."""

import datetime
from typing import Any

import pytest

from oncue.protocol import ids
from tests.api.client import Client


async def test_rescheduled_run_is_shown_whole(client: Client) -> None:
    run = await client.trigger("t", {"a": 1}, delay="1h", tags=["x"])

    reply = await client.post(f"/api/v1/runs/{run}/reschedule", {"delay": "2031-05-01T10:00:00.000Z"})

    shown = await client.get(f"/api/v3/runs/{run}")
    assert (reply.status, reply.body) == (200, shown.body)
    assert reply.body["delayedUntil"] == "2031-05-01T10:00:00Z"
    assert (reply.body["status"], reply.body["payload"], reply.body["tags"]) == ("DELAYED", {"a": 1}, ["x"])


async def test_run_moved_nearer_is_handed_out_when_due(client: Client) -> None:
    worker = await client.announce("t")
    run = await client.trigger("t", delay="1h")
    near = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.5)

    reply = await client.post(f"/api/v1/runs/{run}/reschedule", {"delay": near.isoformat()})

    assert reply.status == 200, reply
    assert await client.claim_runs(worker, wait_ms=20_000) == [run]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"delay": "soon"}, "Invalid delay: found 'soon'; expected a duration such as"),
        ({"delay": "2020-01-01T00:00:00Z"}, "Invalid delay: found 2020-01-01T00:00:00+00:00; expected a moment"),
        ({"delay": 60}, "delay: expected str, got int"),
        ({}, "delay is missing"),
        (b"", "the body is empty"),
    ],
)
async def test_impossible_delay_is_refused(client: Client, body: Any, error: str) -> None:
    run = await client.trigger("t", delay="1h")

    reply = await client.post(f"/api/v1/runs/{run}/reschedule", body)

    assert (reply.status, reply.headers["x-should-retry"]) == (400, "false")
    assert error in reply.body["error"]


async def test_what_is_not_delayed_or_not_there_cannot_be_rescheduled(client: Client, prod_client: Client) -> None:
    queued = await client.trigger("t")
    delayed = await client.trigger("t", delay="1h")

    refused = await client.post(f"/api/v1/runs/{queued}/reschedule", {"delay": "1h"})
    unknown = await client.post(f"/api/v1/runs/{ids.new_run_id()}/reschedule", {"delay": "1h"})
    strange = await prod_client.post(f"/api/v1/runs/{delayed}/reschedule", {"delay": "1h"})

    assert refused.status == 400
    assert refused.body["error"].startswith("Cannot reschedule a run that is not delayed")
    assert (unknown.status, strange.status) == (404, 404)
