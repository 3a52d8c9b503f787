"""What official clients do when something between them and the server fails, and what it leaves behind."""

import json
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.clients.client import Client
from tests.clients.faults import Fault, Faults
from tests.fixtures.stack import Stack

TRIGGER = "POST /api/v1/tasks/my-task/trigger"
CREATE = "POST /api/v3/batches"
KEY = "x-trigger-request-idempotency-key"
LOST = [Fault(lost="request"), Fault(lost="answer")]


@pytest.fixture
async def faults(shared_stack: Stack) -> AsyncIterator[Faults]:
    faults = Faults(shared_stack.server.url)
    async with faults.running():
        yield faults


def limited(in_ms: int) -> Fault:
    """Return a refusal whose limit is reset so long from now."""
    body = json.dumps({"title": "Rate Limit Exceeded", "status": 429, "error": "Rate limit exceeded"})
    reset = str(round(time.time() * 1000) + in_ms)
    return Fault(429, {"x-ratelimit-reset": reset, "content-type": "application/problem+json"}, body)


@pytest.mark.parametrize("fault", [*LOST, Fault(500), Fault(503), Fault(408)])
async def test_failed_trigger_is_sent_again_and_makes_one_run(
    each_client: Client, faults: Faults, fault: Fault
) -> None:
    tag = uuid.uuid4().hex
    faults.plan(TRIGGER, fault)

    handle = await each_client("faults.trigger", {"url": faults.url, "tags": [tag]})

    first, second = faults.of(TRIGGER)
    assert first.headers[KEY] == second.headers[KEY]
    assert first.body == second.body
    assert handle["isCached"] is False
    assert await each_client("runs.all", {"tag": tag}) == [handle["id"]]


async def test_client_waits_for_the_reset_of_a_limit(client: Client, faults: Faults) -> None:
    faults.plan(TRIGGER, limited(400))

    said = await client("faults.triggerAsEver", {"url": faults.url})

    assert 300 < said["tookMs"] < 5_000
    assert len(faults.of(TRIGGER)) == 2


@pytest.mark.parametrize(
    ("status", "class_", "attempts"),
    [
        (400, "BadRequestError", 1),
        (401, "AuthenticationError", 1),
        (403, "PermissionDeniedError", 1),
        (409, "ConflictError", 3),
        (422, "UnprocessableEntityError", 1),
        (429, "RateLimitError", 3),
        (500, "InternalServerError", 3),
    ],
)
async def test_status_decides_class_and_attempts(
    client: Client, faults: Faults, status: int, class_: str, attempts: int
) -> None:
    faults.plan(TRIGGER, *[Fault(status, body='{"error": "told so", "code": "some_code"}')] * attempts)

    error = await client.refused("faults.trigger", {"url": faults.url})

    assert (error["class"], error["status"], error["code"]) == (class_, status, "some_code")
    assert error["message"] == "told so"
    assert len(faults.of(TRIGGER)) == attempts


async def test_unreachable_server_is_a_connection_error(client: Client, faults: Faults) -> None:
    faults.plan(TRIGGER, *[Fault(lost="request")] * 3)

    error = await client.refused("faults.trigger", {"url": faults.url})

    assert error["class"] == "ApiConnectionError"
    assert len(faults.of(TRIGGER)) == 3


@pytest.mark.parametrize("fault", LOST, ids=["request", "answer"])
@pytest.mark.parametrize("phase", ["create", "stream"])
async def test_batch_is_filled_once_whatever_is_lost(
    each_client: Client, faults: Faults, phase: str, fault: Fault
) -> None:
    faults.plan(CREATE if phase == "create" else f"{CREATE}/", fault)

    handle = await each_client("faults.batch", {"url": faults.url, "count": 3})

    retrieved = await each_client("batches.retrieve", handle["batchId"])
    assert (retrieved["runCount"], len(set(retrieved["runs"])), retrieved["status"]) == (3, 3, "PROCESSING")
    assert len(faults.of(CREATE)) == 3
    if phase == "create":
        created = [seen for seen in faults.of(CREATE) if seen.path == "/api/v3/batches"]
        assert created[0].headers[KEY] == created[1].headers[KEY]


async def test_items_are_streamed_without_a_length(client: Client, faults: Faults) -> None:
    await client("faults.batch", {"url": faults.url, "count": 2})

    (create, items) = faults.of(CREATE)
    assert items.headers["Transfer-Encoding"] == "chunked"
    assert items.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line)["index"] for line in items.body.splitlines()] == [0, 1]
    assert json.loads(create.body)["taskIdentifiers"] == ["my-task"]


@pytest.mark.parametrize(("phase", "path"), [("create", "/api/v3/batches"), ("stream", "/api/v3/batches/")])
async def test_limited_batch_says_phase_and_time_to_wait(client: Client, faults: Faults, phase: str, path: str) -> None:
    faults.plan(f"POST {path}", *[limited(1), limited(1), limited(60_000)])

    error = await client.refused("faults.batch", {"url": faults.url, "count": 4})

    assert (error["class"], error["phase"], error["itemCount"]) == ("BatchTriggerError", phase, 4)
    assert error["isRateLimited"] is True
    assert 50_000 < error["retryAfterMs"] <= 62_000
    assert (error["cause"]["class"], error["cause"]["status"]) == ("RateLimitError", 429)
    assert ("batchId" in error) is (phase == "stream")
    assert "Rate limit exceeded - retry after" in error["message"]


async def test_store_that_refuses_fails_in_phase_offload(client: Client, faults: Faults) -> None:
    faults.plan("PUT /api/v2/packets/", Fault(403, body='{"error": "no room"}'))

    error = await client.refused("faults.largeBatch", {"url": faults.url})

    assert (error["class"], error["phase"], error["itemCount"]) == ("BatchTriggerError", "offload", 1)
    assert error["isRateLimited"] is False
    assert "no room" in error["message"]


async def test_token_of_a_lost_answer_is_made_once(client: Client, faults: Faults) -> None:
    tag = uuid.uuid4().hex
    faults.plan("POST ", Fault(lost="answer"))

    token = await client("faults.createToken", {"url": faults.url, "tags": [tag]})

    assert await client("waitpoints.listed", {"tags": [tag]}) == [token["id"]]
    assert token["isCached"] is False


async def test_replay_of_a_lost_answer_is_made_once(client: Client, faults: Faults) -> None:
    tag = uuid.uuid4().hex
    options = {"tags": [tag], "delay": "1h"}
    handle = await client("triggering.trigger", {"id": "my-task", "payload": 1, "options": options})
    faults.plan("POST ", Fault(lost="answer"))

    made = await client("faults.replay", {"url": faults.url, "id": handle["id"]})

    assert await client("runs.all", {"tag": tag}) == [made["id"], handle["id"]]
