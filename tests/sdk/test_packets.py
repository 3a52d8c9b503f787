"""What is too large to travel with a call is stored first, and fetched where it is named."""

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from oncue import ApiError, BatchTriggerError, NotFound, ServerError, SettingsError, item, runs, tasks
from oncue.protocol import codec, packets
from oncue.protocol.failures import StringError
from oncue.protocol.work import ChildFailed, ChildSucceeded
from oncue.sdk import connections, transport
from oncue.sdk import packets as sdk_packets
from oncue.sdk.answers import NoAnswer
from oncue.sdk.flows import Flow, Sleep, Together
from oncue.sdk.requests import HttpRequest

from .conftest import FakeApi, Reply, SetClock

LARGE = "x" * 600_000
DOCUMENT = f'"{LARGE}"'.encode()
NAME = packets.name(DOCUMENT, codec.JSON)

Call = Callable[..., Any]


@pytest.fixture(params=["async", "sync"])
def call(request: pytest.FixtureRequest) -> Call:
    """Return what calls a function of ``tasks`` in one of its two forms."""
    if request.param == "sync":
        return lambda name, *arguments: getattr(tasks.sync, name)(*arguments)

    def awaited(name: str, *arguments: Any) -> Any:
        async def main() -> Any:
            return await getattr(tasks, name)(*arguments)

        return asyncio.run(main())

    return awaited


@pytest.fixture(params=["async", "sync"])
def carry_out(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    if request.param == "sync":
        return transport.run

    def driven(flow: Flow[Any]) -> Any:
        async def main() -> Any:
            return await transport.start(flow, "driven")

        return asyncio.run(main())

    return driven


def test_large_payload_is_stored_and_then_named(api: FakeApi, call: Call) -> None:
    call("trigger", "child", LARGE)

    address, put, trigger = api.seen
    assert (address.method, address.path.partition("?")[2]) == ("PUT", "size=600002&kind=payload")
    assert (put.method, put.path) == ("PUT", f"/store/{NAME}?signed=1")
    assert (put.body, put.headers["content-type"]) == (DOCUMENT, "application/json")
    # Whoever keeps the objects is not to know the key.
    assert "authorization" not in put.headers
    assert trigger.json["payload"] == f"2030-01-31/{NAME}"
    assert trigger.json["options"]["payloadType"] == "application/store"
    assert trigger.json["options"]["payloadSize"] == 600_002


def test_payload_up_to_the_threshold_travels_with_its_call(api: FakeApi, call: Call) -> None:
    call("trigger", "child", "x" * (512 * 1024 - 2))

    (trigger,) = api.seen
    assert "payloadType" not in trigger.json["options"]


def test_threshold_is_a_setting(api: FakeApi, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCUE_OFFLOAD_BYTES", "1024")
    call("trigger", "child", "x" * 1_023)
    assert len(api.seen) == 3

    monkeypatch.setenv("ONCUE_OFFLOAD_BYTES", "1e6")
    with pytest.raises(SettingsError, match="ONCUE_OFFLOAD_BYTES='1e6' is not accepted; expected a whole number"):
        call("trigger", "child", 1)


def test_document_is_named_by_content_and_type() -> None:
    assert packets.name(b"1", codec.JSON) == packets.name(b"1", codec.JSON)
    assert len({packets.name(b"1", codec.JSON), packets.name(b"2", codec.JSON), packets.name(b"1", codec.TEXT)}) == 3
    assert packets.checked_name(NAME) == NAME


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("1", codec.JSON), ("1", codec.JSON), True),
        (("1", codec.JSON), ("2", codec.JSON), False),
        (("1", codec.JSON), ("1", codec.SUPER_JSON), False),
        ((None, codec.JSON), (None, codec.JSON), True),
        (('"2030-01-31/u1/a"', codec.STORE), ('"2030-02-01/u2/a"', codec.STORE), True),
        (('"2030-01-31/u1/a"', codec.STORE), ('"2030-01-31/u1/b"', codec.STORE), False),
        (('"2030-01-31/u1/a"', codec.STORE), (None, codec.JSON), False),
        (('"2030-01-31/u1/a"', codec.STORE), ('"2030-02-28/copies/2030-01-31/u1/a"', codec.STORE), True),
        (
            ('"2030-03-31/copies/2030-01-31/u1/a"', codec.STORE),
            ('"2030-02-28/copies/2030-01-31/u1/a"', codec.STORE),
            True,
        ),
    ],
)
def test_stored_documents_are_equal_whatever_their_day(
    one: tuple[str | None, str], other: tuple[str | None, str], same: bool
) -> None:
    assert packets.are_same(*one, *other) is same


def test_store_that_fails_is_asked_again_as_the_contract_says(api: FakeApi, clock: SetClock, call: Call) -> None:
    api.prepare("PUT /store", Reply(500), Reply(503), Reply(429))

    call("trigger", "child", LARGE)

    assert [seen.method for seen in api.seen] == ["PUT"] * 5 + ["POST"]
    assert all(low <= slept <= 2 * low for slept, low in zip(clock.slept, (0.5, 1.0, 2.0), strict=True))


def test_store_that_refuses_is_named_with_its_reason(api: FakeApi, clock: SetClock, call: Call) -> None:
    api.prepare("PUT /store", Reply(403, b"<?xml?><Error><Code>AccessDenied</Code><Message>No</Message></Error>"))

    with pytest.raises(ApiError, match=r"refused while a payload of 600,002 bytes .* 403 AccessDenied"):
        call("trigger", "child", LARGE)
    assert clock.slept == []


def test_large_items_are_stored_before_their_batch_is_made(api: FakeApi, call: Call) -> None:
    texts = [f"{number}{LARGE}" for number in range(23)]
    call("batch_trigger", "child", [item("small"), *map(item, texts), item("small too")])

    kinds = [seen.path.split("/")[1:4] for seen in api.seen]
    made = kinds.index(["api", "v3", "batches"])
    assert made == 2 * 23
    lines = api.seen[-1].lines
    assert [lines[0]["payload"], lines[-1]["payload"]] == ["small", "small too"]
    stored = [api.stored[f"/store/{line['payload'].partition('/')[2]}"][0] for line in lines[1:-1]]
    assert [msgspec.json.decode(each) for each in stored] == texts
    assert {line["options"]["payloadType"] for line in lines[1:-1]} == {"application/store"}


def test_item_that_cannot_be_stored_fails_the_batch_before_it_is_made(
    api: FakeApi, clock: SetClock, call: Call
) -> None:
    api.prepare("PUT /store", *[Reply(500)] * 5)

    with pytest.raises(BatchTriggerError, match="could not store the large payloads of 2 items") as failed:
        call("batch_trigger", "child", [item(LARGE), item(1)])

    assert (failed.value.phase, failed.value.batch_id, failed.value.item_count) == ("offload", None, 2)
    assert not any("batches" in path for path in api.paths)


@pytest.mark.parametrize(
    ("content", "type_", "value"),
    [
        (b"[1]", "application/json", [1]),
        (b'{"json":["1"],"meta":{"values":{"0":["bigint"]}}}', "application/super+json", [1]),
        (b"as it is", "text/plain;charset=utf-8", "as it is"),
        (b"as it is", "application/octet-stream", "as it is"),
    ],
)
def test_fetched_document_is_read_by_its_type(
    api: FakeApi, carry_out: Callable[[Flow[Any]], Any], content: bytes, type_: str, value: object
) -> None:
    api.stored["/store/a/output"] = (content, type_)

    document, found = carry_out(sdk_packets.fetched(msgspec.Raw(b'"2030-01-31/a/output"')))

    assert codec.restore(document, found) == value


def test_outputs_of_children_are_fetched_where_they_are_apart(
    api: FakeApi, carry_out: Callable[[Flow[Any]], Any]
) -> None:
    api.stored["/store/a"] = (b"[1]", "application/json")
    apart = ChildSucceeded("run_1", "t", msgspec.Raw(b'"2030-01-31/a"'), codec.STORE)
    at_hand = ChildSucceeded("run_2", "t", msgspec.Raw(b"2"))
    failed = ChildFailed("run_3", "t", StringError("no"))

    opened = carry_out(sdk_packets.opened([at_hand, apart, failed, apart]))

    assert opened == [at_hand, ChildSucceeded("run_1", "t", msgspec.Raw(b"[1]")), failed, opened[1]]


def test_document_that_is_gone_is_not_found(api: FakeApi, carry_out: Callable[[Flow[Any]], Any]) -> None:
    with pytest.raises(NotFound, match="the object store refused while a document was being fetched: 404 NoSuchKey"):
        carry_out(sdk_packets.fetched(msgspec.Raw(b'"2030-01-31/gone"')))


def test_flows_carried_out_together_answer_in_their_order(
    carry_out: Callable[[Flow[Any]], Any], clock: SetClock
) -> None:
    def one(number: int) -> Flow[int]:
        yield Sleep(0)
        if number in (3, 5):
            raise ValueError(f"number {number}")
        return number

    def several(*numbers: int) -> Flow[list[int]]:
        ended: list[int] = yield Together([one(number) for number in numbers])
        return ended

    assert carry_out(several(*range(6, 40))) == list(range(6, 40))
    assert carry_out(several(1)) == [1]
    with pytest.raises(ValueError, match="number 3"):
        carry_out(several(1, 2, 3, 4, 5))


def test_flows_that_have_not_begun_never_do_once_one_has_failed(carry_out: Callable[[Flow[Any]], Any]) -> None:
    begun: list[int] = []

    def one(number: int) -> Flow[int]:
        begun.append(number)
        yield Sleep(0.01)
        raise LookupError(f"number {number}")

    def several() -> Flow[None]:
        yield Together([one(number) for number in range(300)])

    with pytest.raises(LookupError, match="number"):
        carry_out(several())
    assert len(begun) <= 20


async def test_address_that_is_signed_stays_out_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/key?signature=secret"

    def timed_out(*_: object, **__: object) -> None:
        # As aiohttp says it.
        raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {url}")

    monkeypatch.setattr(aiohttp.ClientSession, "request", timed_out)
    reply = await connections.send(HttpRequest("PUT", url, {}, b"1"), 1.0, lambda: 0.0, by=connections.TRANSFERS)

    assert isinstance(reply, NoAnswer)
    told = "".join(traceback.format_exception(reply.error))
    assert ("secret" in told, "http://127.0.0.1:9/key?..." in told) == (False, True)


def test_parent_waits_for_a_store_that_has_its_childs_output(
    api: FakeApi, clock: SetClock, carry_out: Callable[[Flow[Any]], Any]
) -> None:
    api.stored["/store/a"] = (b"[1]", "application/json")
    api.prepare("GET /store", *[Reply(503)] * 12)
    apart = ChildSucceeded("run_1", "t", msgspec.Raw(b'"2030-01-31/a"'), codec.STORE)

    assert carry_out(sdk_packets.opened([apart])) == [ChildSucceeded("run_1", "t", msgspec.Raw(b"[1]"))]

    api.prepare("GET /store", *[Reply(503)] * 1_000)
    before = clock.at
    with pytest.raises(ServerError):
        carry_out(sdk_packets.opened([apart]))
    assert 300 <= clock.at - before < 330


def test_look_at_a_run_does_not_fail_over_its_documents(api: FakeApi, clock: SetClock) -> None:
    address = f"{api.url}/store/gone"
    view = {
        "id": "run_1", "status": "COMPLETED", "taskIdentifier": "t", "isQueued": False, "isExecuting": False,
        "isWaiting": False, "isCompleted": True, "isSuccess": True, "isFailed": False, "isCancelled": False,
        "isTest": False, "createdAt": "2030-01-31T00:00:00Z", "updatedAt": "2030-01-31T00:00:00Z", "tags": [],
        "costInCents": 0, "baseCostInCents": 0, "durationMs": 1, "queue": "q", "depth": 0,
        "triggerFunction": "trigger", "attemptCount": 1, "priority": 0, "outputPresignedUrl": address,
    }  # fmt: skip
    api.prepare("GET /api/v3/runs/run_1", Reply(200, view))

    run = runs.sync.retrieve("run_1")

    assert (run.is_success, run.output, run.output_presigned_url) == (True, None, address)
