"""What is refused over HTTP, in which words, and whether sending it again may help."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from oncue.engine import reading
from oncue.protocol import ids
from tests.api.client import NDJSON, Client, served

# Fixed, so that every test process collects tests of the same names.
RUN, BATCH = ids.show(ids.RUN, uuid.UUID(int=1)), ids.show(ids.BATCH, uuid.UUID(int=1))
TRIGGER = "/api/v1/tasks/add/trigger"

ANNOUNCE = "/api/v1/work/announce"


def announced(*tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    worker = ids.show(ids.WORKER, uuid.UUID(int=1))
    told = {"workerId": worker, "places": 1, "hostname": "h", "pid": 1, "sdkVersion": "0", "tasks": list(tasks)}
    return told | fields


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", TRIGGER, b"", 400, "the body is empty; expected JSON"),
    ("POST", TRIGGER, b'{"payload": ', 400, "the body is not valid JSON"),
    ("POST", TRIGGER, b'{"options": {"queue": "\xff"}}', 400, "the body is not valid JSON"),
    ("POST", TRIGGER, b'{"payload": "\\ud83d"}', 400, "the body holds half of a surrogate pair, such as \\ud800"),
    ("POST", TRIGGER, b'{"payload": "\\ude00 \\ud83d\\ude00"}', 400, "the body holds half of a surrogate pair"),
    ("POST", TRIGGER, b'{"payload": "\\ud83d\\ude00" 1}', 400, "the body is not valid JSON"),
    ("POST", TRIGGER, b'{"options": {"tags": "\\ud83d"}}', 400, "the body holds half of a surrogate pair"),
    ("POST", TRIGGER, b"[]", 400, "the body: expected object, got array"),
    ("POST", TRIGGER, {"options": {"maxAttempts": "x"}}, 400, "options.maxAttempts: expected int, got str"),
    ("POST", TRIGGER, {"options": {"maxAttempts": 0}}, 400, "options.maxAttempts"),
    ("POST", TRIGGER, {"options": {"tags": ["a", 1]}}, 400, "options.tags[1]: expected str, got int"),
    ("POST", TRIGGER, {"options": {"queue": "a\0"}}, 400, "options.queue holds a NUL character"),
    ("POST", TRIGGER, {"options": {"tags": [str(n) for n in range(11)]}}, 422, "11 tags"),
    ("POST", TRIGGER, {"options": {"runId": "run_1"}}, 400, "is not a run id"),
    ("POST", TRIGGER, b'{"payload": ' + b"[" * 100_000, 400, "nested too deeply"),
    ("POST", "/api/v1/tasks/%ff/trigger", {}, 400, "task in the path is not UTF-8"),
    ("POST", "/api/v1/tasks/a%00b/trigger", {}, 400, "task in the path is empty or holds a NUL"),
    ("POST", "/api/v1/tasks//trigger", {}, 400, "task in the path is empty"),
    ("POST", "/api/v3/batches", {}, 400, "runCount is missing"),
    ("POST", "/api/v3/batches", {"runCount": 1001}, 400, "exceeds maximum allowed of 1000"),
    ("POST", "/api/v3/batches", {"runCount": 0}, 400, "runCount: found 0"),
    ("GET", f"/api/v3/runs/{RUN}", None, 404, f"no run {RUN}"),
    ("GET", "/api/v3/runs/run_cm1234567890abcdefghijk", None, 404, "'run_cm1234567890abcdefghijk' is not a run id"),
    ("GET", "/api/v2/batches/nonsense", None, 404, "'nonsense' is not a batch id"),
    ("POST", "/api/v3/batches/nonsense/seal", {"runCount": 1}, 422, "Batch not found"),
    ("POST", f"/api/v2/runs/{RUN}/cancel", None, 404, f"no run {RUN}"),
    ("GET", f"/api/v2/batches/{BATCH}", None, 404, f"no batch {BATCH}"),
    ("GET", "/api/v1/runs?page[size]=0", None, 400, "page[size]: found '0'; expected 1 to 100"),
    ("GET", "/api/v1/runs?filter[status]=GONE", None, 400, "filter[status]: found 'GONE'; expected any of"),
    ("GET", "/api/v1/runs?filter[isTest]=maybe", None, 400, "expected true or false"),
    ("GET", "/api/v1/runs?filter[createdAt][from]=soon", None, 400, "expected milliseconds since 1970"),
    ("GET", "/api/v1/runs?filter[createdAt][period]=soon", None, 400, "expected a duration"),
    ("GET", "/api/v1/runs?filter[colour]=red", None, 400, "filter[colour] is not supported"),
    ("GET", "/api/v1/runs?filter[tag]=%00", None, 400, "holds a NUL character"),
    ("GET", "/api/v1/runs?filter[tag]=%ff", None, 400, "the query cannot be read"),
    ("POST", "/api/v1/work/claim", {"workerId": "w", "places": 1}, 400, "'w' is not a worker id"),
    ("POST", "/api/v1/work/claim", {"workerId": ids.new_worker_id(), "places": 1_001}, 400, "places: found 1001"),
    ("POST", "/api/v1/work/claim", {"workerId": ids.new_worker_id(), "places": 1}, 409, "announce it again"),
    ("POST", "/api/v1/work/outcomes", {"workerId": "w", "outcomes": [{"outcome": "odd"}]}, 400, "outcomes[0].outcome"),
    ("POST", ANNOUNCE, announced(pid=2**31), 400, "pid: found 2147483648; expected 0 to 2,147,483,647"),
    ("POST", ANNOUNCE, announced(hostname="a\0"), 400, "hostname holds a NUL character, which cannot be stored"),
    ("POST", ANNOUNCE, announced(hostname="a" * 1_001), 400, "hostname: found 'aaa"),
    ("POST", ANNOUNCE, announced(queues=["a b"]), 400, "queues: 'a b' is not a queue name"),
    ("POST", ANNOUNCE, announced({"id": ""}), 400, "task id '' is not valid"),
    ("POST", ANNOUNCE, announced({"id": "a", "queue": "a b"}), 400, "task 'a': queue: 'a b' is not a queue name"),
    ("POST", ANNOUNCE, announced({"id": "a", "ttlMs": 2**62}), 400, "task 'a': ttlMs: found 4611686018427387904"),
    ("POST", ANNOUNCE, announced({"id": "a", "maxDurationMs": -1}), 400, "maxDurationMs: found -1; expected 0"),
    ("POST", ANNOUNCE, announced({"id": "a", "machine": "huge"}), 422, "task 'a': machine: found 'huge'"),
    ("POST", ANNOUNCE, announced({"id": "a", "file": "x" * 1_001}), 400, "task 'a': file: found 'xxx"),
    ("POST", ANNOUNCE, announced({"id": "a", "retry": {"maxAttempts": 0}}), 400, "retry.maxAttempts: found 0"),
    ("POST", ANNOUNCE, announced({"id": "a", "retry": {"factor": -2}}), 400, "retry.factor: found -2.0; expected 0"),
    ("POST", ANNOUNCE, announced({"id": "a", "retry": {"minTimeoutMs": 2**62}}), 400, "retry.minTimeoutMs: found"),
    ("GET", f"/api/v1/work/batches/{BATCH}/results?limit=0", None, 400, "limit: found '0'"),
    ("GET", "/api/v1/nothing", None, 404, "no route GET /api/v1/nothing; see /openapi.json"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[4][:40])
async def test_refusal_names_the_field_and_forbids_retries(
    shared_client: Client, case: tuple[str, str, Any, int, str]
) -> None:
    method, path, body, status, words = case

    reply = await shared_client.send(method, path, body)

    assert (reply.status, words in reply.body["error"]) == (status, True), reply
    assert reply.body.keys() == {"error", "code"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-should-retry"] == "false"


async def test_wrong_method_names_those_that_are_allowed(client: Client) -> None:
    reply = await client.send("DELETE", "/api/v1/runs")

    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    assert reply.body["error"] == "DELETE is not allowed here; expected GET"


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        (None, "no API key was sent"),
        ("Basic abc", "holds no bearer key"),
        ("Bearer ", "holds no bearer key"),
        ("Bearer tr_dev_sk_111111111111111111111111", "is not known here, or was revoked"),
        ("Bearer \u00fc", "is not known here, or was revoked"),
    ],
)
async def test_missing_or_wrong_key_is_told_what_to_send(
    shared_client: Client, authorization: str | None, words: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with Client(shared_client.url, key=None) as stranger:
        reply = await stranger.post(TRIGGER, {}, headers=headers)

    assert (reply.status, reply.body["code"]) == (401, "unauthorized")
    assert words in reply.body["error"]
    assert "send Authorization: Bearer tr_" in reply.body["error"]
    assert "from a page in a browser a public access token" in reply.body["error"]
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.body["title"], reply.body["status"], reply.body["detail"]) == (
        "Unauthorized",
        401,
        reply.body["error"],
    )


async def test_long_body_is_refused_with_size_and_limit(database_url: str) -> None:
    async with served(database_url, max_trigger_bytes=1_000) as url, Client(url) as client:
        fits = await client.post(TRIGGER, {"payload": "x" * 900})
        declared = await client.post(TRIGGER, {"payload": "x" * 5_000})
        line = await client.post(
            f"/api/v3/batches/{(await client.post('/api/v3/batches', {'runCount': 1})).body['id']}/items",
            json.dumps({"payload": "x" * 5_000, "index": 0, "task": "add"}).encode(),
            headers=NDJSON,
        )

    assert fits.status == 200
    assert (declared.status, declared.body["code"]) == (413, "payload_too_large")
    assert declared.body["error"].endswith("bytes or more; the limit is 1,000")
    assert (line.status, line.body["code"]) == (413, "payload_too_large")
    assert line.body["error"].endswith("does not begin with index and task; send these first")


async def test_streamed_body_is_cut_at_the_limit(database_url: str) -> None:
    async with served(database_url, max_trigger_bytes=1_000) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        request = (
            f"POST {TRIGGER} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer tr_dev_sk_{'0' * 24}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n" + f"{600:x}\r\n{'x' * 600}\r\n" * 2
        )
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()

    # The body never ended: the refusal came as soon as the limit was passed.
    assert status.startswith(b"HTTP/1.1 413 ")


async def test_unforeseen_error_is_logged_and_hides_its_cause(
    database_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(reading, "retrieve", broken)
    async with served(database_url) as url, Client(url) as client:
        reply = await client.get(f"/api/v3/runs/{RUN}")

    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "request.failed"]
    assert (reply.status, reply.body["code"]) == (500, "server_error")
    assert "secret" not in reply.body["error"]
    assert reply.body["error"].endswith(record.fields["request_id"])  # type: ignore[attr-defined]
    assert "x-should-retry" not in reply.headers
    assert record.fields["trace"].startswith("test_refusals.py:")  # type: ignore[attr-defined]
    assert "secret" not in record.getMessage()
