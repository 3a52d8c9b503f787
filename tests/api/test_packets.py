"""Large payloads and outputs over HTTP, as official clients send and fetch them; in a folder and in S3."""

import datetime
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from oncue.api import object_addresses
from oncue.engine import environments
from oncue.engine.environments import Storage
from oncue.store.objects import Folder
from oncue.store.pool import connect
from tests.api.client import NDJSON, Client, served
from tests.fixtures.s3 import S3

NAME = "trigger/packet_V1StGXR8_Z5jdHi6B-myT/payload.json"
KB = 1024


class Stored:
    """A server with a place of its own for objects, and how to reach what it has signed."""

    def __init__(self, url: str, client: Client, folder: Path) -> None:
        self.url, self.client, self.folder = url, client, folder

    async def put(self, address: str, content: bytes, type_: str = "application/json") -> tuple[int, str]:
        # Official clients send the header of requests along.
        headers = {"Content-Type": type_, "x-trigger-request-idempotency-key": "1"}
        return await self._send("PUT", address, data=io.BytesIO(content), headers=headers)

    async def get(self, address: str) -> tuple[int, str, bytes]:
        async with aiohttp.ClientSession() as session, session.get(URL(address, encoded=True)) as answer:
            return answer.status, answer.headers["content-type"], await answer.read()

    async def presigned(self, name: str = NAME, query: str = "") -> Any:
        reply = await self.client.send("PUT", f"/api/v2/packets/{quote(name, safe='')}{query}")
        assert reply.status == 200, reply
        return reply.body

    async def kept(self, content: bytes, type_: str = "application/json", name: str = NAME) -> str:
        """Store a document as a client does, and return its path."""
        told = await self.presigned(name)
        status, text = await self.put(told["presignedUrl"], content, type_)
        assert status == 200, text
        return str(told["storagePath"])

    async def storage(self, database_url: str, environment: int = 0) -> Storage:
        connection = await connect(database_url)
        async with connection.transaction():
            known = await environments.storages(connection)
        await connection.close()
        return known[environment]

    async def place(self, database_url: str, environment: int = 0) -> str:
        return (await self.storage(database_url, environment)).place

    async def fetched(self, path: str) -> tuple[int, str, bytes]:
        reply = await self.client.get(f"/api/v1/packets/{quote(path, safe='')}")
        assert reply.status == 200, reply
        return await self.get(reply.body["presignedUrl"])

    async def _send(self, method: str, address: str, **options: Any) -> tuple[int, str]:
        url = URL(address, encoded=True)
        async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def folder(database_url: str, tmp_path: Path) -> AsyncIterator[Stored]:
    async with (
        served(database_url, objects=str(tmp_path), max_payload_bytes=1_000 * KB, max_output_bytes=2_000 * KB) as url,
        Client(url) as client,
    ):
        yield Stored(url, client, tmp_path)


@pytest.fixture(params=["folder", "s3"])
async def stored(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stored]:
    place = str(tmp_path)
    if request.param == "s3":
        place = f"{s3.address}/{tmp_path.name}"
        for name, value in s3.variables.items():
            monkeypatch.setenv(name, value)
    async with served(database_url, objects=place, max_payload_bytes=1_000 * KB) as url, Client(url) as client:
        yield Stored(url, client, tmp_path)


@pytest.mark.parametrize("type_", ["application/json", "application/super+json", "text/plain"])
async def test_document_is_stored_and_fetched_with_its_type(stored: Stored, type_: str) -> None:
    path = await stored.kept(b'{"json":[1]}', type_)

    assert await stored.fetched(path) == (200, type_, b'{"json":[1]}')


async def test_run_with_a_stored_payload_names_it_to_worker_and_client(stored: Stored) -> None:
    worker = await stored.client.announce("add")
    path = await stored.kept(b'{"n":1}')
    run = await stored.client.trigger("add", path, payloadType="application/store", payloadSize=7)

    (assignment,) = (await stored.client.claim(worker))["assignments"]
    shown = (await stored.client.get(f"/api/v3/runs/{run}")).body
    of_run = (await stored.client.get(f"/api/v1/runs/{run}/packets/payload")).body

    assert (assignment["payload"], assignment["payloadType"]) == (path, "application/store")
    assert "payload" not in shown
    assert await stored.get(shown["payloadPresignedUrl"]) == (200, "application/json", b'{"n":1}')
    assert await stored.get(of_run["presignedUrl"]) == (200, "application/json", b'{"n":1}')


async def test_large_payload_and_output_within_requests_are_stored(stored: Stored) -> None:
    worker = await stored.client.announce("add")
    run = await stored.client.trigger("add", "x" * 600 * KB)
    (assignment,) = (await stored.client.claim(worker))["assignments"]
    await stored.client.succeed(worker, assignment, ["y" * 700 * KB])

    shown = (await stored.client.get(f"/api/v3/runs/{run}")).body
    result = (await stored.client.get(f"/api/v1/runs/{run}/result")).body

    assert (assignment["payloadType"], len(assignment["payload"])) == ("application/store", 11 + 25 + 64 + 14)
    assert (await stored.get(shown["payloadPresignedUrl"]))[2] == b'"%s"' % (b"x" * 600 * KB)
    assert (await stored.get(shown["outputPresignedUrl"]))[2] == b'["%s"]' % (b"y" * 700 * KB)
    assert result["outputType"] == "application/store"
    assert (await stored.fetched(result["output"]))[2] == (await stored.get(result["outputPresignedUrl"]))[2]


async def test_documents_of_one_name_are_kept_apart(stored: Stored) -> None:
    first, second = await stored.kept(b"[1]"), await stored.kept(b"[2]")

    assert [(await stored.fetched(path))[2] for path in (first, second)] == [b"[1]", b"[2]"]


async def test_small_documents_stay_in_the_row(folder: Stored) -> None:
    worker = await folder.client.announce("add")
    run = await folder.client.trigger("add", "x" * (512 * KB - 2))
    (assignment,) = (await folder.client.claim(worker))["assignments"]
    await folder.client.succeed(worker, assignment, 1)

    shown = (await folder.client.get(f"/api/v3/runs/{run}")).body
    of_run = await folder.client.get(f"/api/v1/runs/{run}/packets/output")

    assert (len(assignment["payload"]), shown["output"]) == (512 * KB - 2, 1)
    assert (of_run.status, "is not kept in the object store" in of_run.body["error"]) == (404, True)
    assert list(folder.folder.rglob("*.json")) == []


async def test_payload_that_was_never_stored_is_refused(stored: Stored) -> None:
    told = await stored.presigned()
    body = {"payload": told["storagePath"], "options": {"payloadType": "application/store"}}

    reply = await stored.client.post("/api/v1/tasks/add/trigger", body)

    assert (reply.status, reply.body["code"]) == (400, "bad_request")
    assert reply.body["error"].startswith(f"payload: nothing is stored at '{told['storagePath']}'; store it first")


@pytest.mark.parametrize(
    "path",
    [
        "", "../x", "2030-01-31/../1/x", "2030-01-31/./x", "2030-01-31//x", "2030-01-31/a\\b", "2030-01-31/a%2Fb",
        "2030-01-31", "2030-01-31/", "tomorrow/x", "2030-01-31/a~type", "2030-01-31/" + "x" * 600, "2030-01-31/\u0661",
    ],
)  # fmt: skip
async def test_path_that_is_none_is_refused(folder: Stored, path: str) -> None:
    body = {"payload": path, "options": {"payloadType": "application/store"}}
    trigger = await folder.client.post("/api/v1/tasks/add/trigger", body)
    download = await folder.client.get(f"/api/v1/packets/{quote(path or '%', safe='')}")

    assert trigger.status == download.status == 400
    assert "packet storage path" in download.body["error"]


@pytest.mark.parametrize("name", ["a/../b", "a/./b", "a//b", "a\\b", "a%2Fb", "a/", "~incoming"])
async def test_name_that_is_none_gets_no_address(folder: Stored, name: str) -> None:
    reply = await folder.client.send("PUT", f"/api/v2/packets/{quote(name, safe='')}")

    assert reply.status == 400
    assert reply.body["error"].startswith("Invalid packet storage path")


async def test_document_is_out_of_reach_for_other_environments(folder: Stored, database_url: str) -> None:
    connection = await connect(database_url)
    async with connection.transaction():
        key = await environments.create_key(connection, "prod", name="test")
    await connection.close()
    path = await folder.kept(b"1")

    async with Client(folder.url, key.secret) as stranger:
        told = (await stranger.get(f"/api/v1/packets/{quote(path, safe='')}")).body
        body = {"payload": path, "options": {"payloadType": "application/store"}}
        trigger = await stranger.post("/api/v1/tasks/add/trigger", body)
        of_run = await stranger.get(f"/api/v1/runs/{await folder.client.trigger('add')}/packets/payload")

    assert (await folder.get(told["presignedUrl"]))[0] == 404
    assert (trigger.status, of_run.status) == (400, 404)


async def test_signed_address_counts_for_nothing_else(folder: Stored, database_url: str) -> None:
    path = await folder.kept(b"1")
    put = (await folder.presigned())["presignedUrl"]
    get = (await folder.client.get(f"/api/v1/packets/{quote(path, safe='')}")).body["presignedUrl"]
    elsewhere = get.replace("payload.json", "other.json")
    later = get.replace("expires=1", "expires=2")
    place = await folder.place(database_url)
    other_environment = get.replace(f"/{place}/", f"/{await folder.place(database_url, 1)}/")
    far_environment = get.replace(f"/{place}/", f"/dev-{'0' * 5_000}/")
    unsigned = get.partition("?")[0]

    statuses = [(await folder.get(each))[0] for each in (put, elsewhere, later, far_environment, unsigned)]
    refused, text = await folder.put(get, b"2")

    assert other_environment != get
    assert [*statuses, (await folder.get(other_environment))[0], refused] == [403] * 7
    assert "was not signed by the server for PUT; ask for a new one with GET /api/v1/packets/" in text
    assert (await folder.fetched(path))[2] == b"1"


async def test_signed_address_counts_for_an_hour(folder: Stored, database_url: str) -> None:
    path = await folder.kept(b"1")
    storage = await folder.storage(database_url)
    key, secret = f"{storage.place}/{path}", storage.secret
    now = datetime.datetime.now(datetime.UTC)
    second = datetime.timedelta(seconds=1)

    past = object_addresses.signed(folder.url, "GET", key, secret, now - second)
    future = object_addresses.signed(folder.url, "GET", key, secret, now + 60 * second)
    told = (await folder.client.get(f"/api/v1/packets/{quote(path, safe='')}")).body["presignedUrl"]

    assert (await folder.get(future))[0] == 200
    status, _, text = await folder.get(past)
    assert (status, b"this address counts no more; ask for a new one" in text) == (403, True)
    assert 3_590 < int(URL(told).query["expires"]) - now.timestamp() <= 3_601


async def test_limit_is_named_before_anything_is_sent(folder: Stored) -> None:
    refused = {}
    for query in ("?size=1024001", "?size=2048001&kind=output", "?kind=metadata", "?size=many"):
        reply = await folder.client.send("PUT", f"/api/v2/packets/{quote(NAME, safe='')}{query}")
        refused[query] = (reply.status, reply.body["error"])
    await folder.presigned(query="?size=1024000")
    await folder.presigned(query="?size=2048000&kind=output")

    assert refused == {
        "?size=1024001": (
            413,
            "payload is 1,024,001 bytes; the limit is 1,024,000; keep it in a store of your own and pass its address",
        ),
        "?size=2048001&kind=output": (413, "output is 2,048,001 bytes; the limit is 2,048,000"),
        "?kind=metadata": (400, "kind: found 'metadata'; expected payload or output"),
        "?size=many": (400, "size: found 'many'; expected 0 to 9,007,199,254,740,992"),
    }


async def test_object_beyond_every_limit_is_not_taken(folder: Stored) -> None:
    told = await folder.presigned()

    status, text = await folder.put(told["presignedUrl"], b"x" * (2_000 * KB + 1))

    assert (status, json.loads(text)["error"]) == (413, "the object is 2,048,001 bytes or more; the limit is 2,048,000")
    assert [path for path in folder.folder.rglob("*") if path.is_file()] == []


async def test_stored_payload_over_the_limit_is_refused(stored: Stored) -> None:
    path = await stored.kept(b'"%s"' % (b"x" * (1_000 * KB - 1)))
    body = {"payload": path, "options": {"payloadType": "application/store"}}

    reply = await stored.client.post("/api/v1/tasks/add/trigger", body)

    assert (reply.status, reply.body["code"]) == (413, "payload_too_large")
    assert reply.body["error"].startswith("payload is 1,024,001 bytes; the limit is 1,024,000")


async def test_stored_output_over_the_limit_is_refused(folder: Stored) -> None:
    worker = await folder.client.announce("add")
    await folder.client.trigger("add")
    (assignment,) = (await folder.client.claim(worker))["assignments"]
    outcome = {
        "outcome": "succeeded", "runId": assignment["runId"], "epoch": assignment["epoch"], "ranMs": 1,
        "output": await folder.kept(b"1"), "outputType": "application/store",
    }  # fmt: skip
    (path,) = (path for path in folder.folder.rglob("payload.json"))
    path.write_bytes(b"1" * (2_000 * KB + 1))

    reply = await folder.client.post("/api/v1/work/outcomes", {"workerId": worker, "outcomes": [outcome]})

    assert (reply.status, reply.body["error"]) == (413, "output is 2,048,001 bytes; the limit is 2,048,000")


async def test_bad_documents_of_a_batch_fail_alone(folder: Stored) -> None:
    worker = await folder.client.announce("add")
    batch = (await folder.client.post("/api/v3/batches", {"runCount": 6})).body["id"]
    by_path = {"payloadType": "application/store"}
    never = (await folder.presigned("never"))["storagePath"]
    items = [
        {"index": 0, "task": "add", "payload": "x" * 600 * KB},
        {"index": 1, "task": "add", "payload": never, "options": by_path},
        {"index": 2, "task": "add", "payload": "x" * 1_000 * KB},
        {"index": 3, "task": "add", "payload": await folder.kept(b"[3]"), "options": by_path},
        {"index": 4, "task": "add", "payload": "x" * 4_000 * KB},
        {"index": 5, "task": "add", "payload": 5},
    ]

    body = b"\n".join(json.dumps(each).encode() for each in items)
    reply = await folder.client.send("POST", f"/api/v3/batches/{batch}/items", data=io.BytesIO(body), headers=NDJSON)
    assignments = (await folder.client.claim(worker))["assignments"]
    shown = (await folder.client.get(f"/api/v2/batches/{batch}")).body
    errors = [(await folder.client.get(f"/api/v3/runs/{run}")).body.get("error") for run in shown["runs"]]

    assert (reply.status, reply.body["itemsAccepted"], reply.body["sealed"]) == (200, 6, True)
    assert [each["payloadType"] for each in assignments[:2]] == ["application/store"] * 2
    assert assignments[2]["payload"] == 5
    assert [error and error["name"] for error in errors] == [
        None, "BATCH_ITEM_COULD_NOT_TRIGGER", "PAYLOAD_TOO_LARGE", None, "PAYLOAD_TOO_LARGE", None,
    ]  # fmt: skip
    assert errors[2]["message"].startswith("payload is 1,024,002 bytes; the limit is 1,024,000")
    assert errors[4]["message"].startswith("line 5 is longer than 3,096,576 bytes")


async def test_replayed_run_has_a_payload_that_lasts_as_long_as_it(folder: Stored, database_url: str) -> None:
    path = await folder.kept(b'{"n":1}')
    first = await folder.client.trigger("add", path, payloadType="application/store")
    long_ago = "2020-01-31" + path[10:]
    objects = Folder(folder.folder)
    await objects.put(f"{await folder.place(database_url)}/{long_ago}", b'{"n":2}', "application/json")

    anew = await folder.client.trigger("add", long_ago, payloadType="application/store")
    replay = (await folder.client.post(f"/api/v1/runs/{anew}/replay")).body["id"]
    shown = [(await folder.client.get(f"/api/v1/runs/{run}/packets/payload")).body for run in (first, anew, replay)]

    # The document of today that has the same name stays what it is.
    assert [(await folder.get(each["presignedUrl"]))[2] for each in shown] == [b'{"n":1}', b'{"n":2}', b'{"n":2}']
    assert all(f"/{path[:10]}/" in each["presignedUrl"] for each in shown)


async def test_name_that_a_folder_cannot_hold_is_refused(folder: Stored, database_url: str) -> None:
    storage = await folder.storage(database_url)
    taken = f"{storage.place}/{datetime.datetime.now(datetime.UTC).date()}/a/b"
    (folder.folder / taken).mkdir(parents=True)
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    (folder.folder / taken / "c").write_bytes(b"1")

    above, below = [
        await folder.put(object_addresses.signed(folder.url, "PUT", key, storage.secret, until), b"1")
        for key in (taken, f"{taken}/c/d")
    ]
    long = await folder.client.send("PUT", f"/api/v2/packets/{'x' * 201}")

    assert [status for status, _ in (below, above)] == [400, 400]
    assert "choose another name" in below[1]
    assert long.status == 400
    assert [each.name for each in (folder.folder / "~incoming").iterdir()] == []


async def test_outcomes_of_others_are_recorded_while_the_store_is_away(
    database_url: str, s3_to_come: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_to_come.variables.items():
        monkeypatch.setenv(name, value)
    async with served(database_url, objects=s3_to_come.address) as url, Client(url) as client:
        worker = await client.announce("add")
        runs = [await client.trigger("add"), await client.trigger("add")]
        assignments = (await client.claim(worker))["assignments"]
        outcomes = [
            {"outcome": "succeeded", "runId": each["runId"], "epoch": each["epoch"], "ranMs": 1, "output": output}
            for each, output in zip(assignments, ("x" * 600 * KB, 1), strict=True)
        ]
        reply = await client.post("/api/v1/work/outcomes", {"workerId": worker, "outcomes": outcomes})
        statuses = [(await client.get(f"/api/v3/runs/{run}")).body["status"] for run in runs]

    assert (reply.status, reply.body) == (200, {"again": [runs[0]]})
    assert statuses == ["EXECUTING", "COMPLETED"]


async def test_addresses_lead_to_where_the_caller_has_reached_the_server(folder: Stored) -> None:
    reply = await folder.client.send(
        "PUT", "/api/v2/packets/x", headers={"Host": "tasks.example.com", "X-Forwarded-Proto": "https"}
    )

    assert reply.body["presignedUrl"].startswith("https://tasks.example.com/objects/")


async def test_content_type_that_is_none_is_refused(folder: Stored) -> None:
    told = await folder.presigned()

    status, text = await folder.put(told["presignedUrl"], b"1", "x" * 300)

    assert (status, "Content-Type is no media type" in text) == (400, True)


async def test_store_that_is_away_is_no_fault_of_the_caller(
    database_url: str, s3_to_come: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_to_come.variables.items():
        monkeypatch.setenv(name, value)
    async with served(database_url, objects=s3_to_come.address) as url, Client(url) as client:
        large = await client.post("/api/v1/tasks/add/trigger", {"payload": "x" * 600 * KB})
        batch = (await client.post("/api/v3/batches", {"runCount": 1})).body["id"]
        item = json.dumps({"index": 0, "task": "add", "payload": "x" * 600 * KB}).encode()
        filled = await client.send("POST", f"/api/v3/batches/{batch}/items", item, headers=NDJSON)
        small = await client.post("/api/v1/tasks/add/trigger", {"payload": "x"})

    assert [reply.status for reply in (large, filled, small)] == [503, 503, 200]
    assert large.body["code"] == "objects_unavailable"
    assert "x-should-retry" not in large.headers
