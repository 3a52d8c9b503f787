"""From items to a batch and its runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import pytest

from oncue import BatchTriggerError, PayloadValidationError, RateLimited, batch, item, task, tasks
from oncue.protocol import ids

from .conftest import FakeApi, Reply, SetClock

ITEMS = "POST /api/v3/batches/batch_"


@pytest.fixture(params=["async", "sync"])
def batch_trigger(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return tasks.sync.batch_trigger
    return lambda *arguments, **options: asyncio.run(tasks.batch_trigger(*arguments, **options))


def test_batch_is_created_and_then_filled(api: FakeApi, batch_trigger: Callable[..., Any]) -> None:
    handle = batch_trigger("child", [item({"n": 1}), item({"n": 2}, delay="1h")])

    create, fill = api.seen
    assert create.json == {"runCount": 2, "id": handle.id, "taskIdentifiers": ["child"]}
    assert fill.path == f"/api/v3/batches/{handle.id}/items"
    assert fill.headers["content-type"] == "application/x-ndjson"
    assert fill.lines == [
        {"index": 0, "task": "child", "payload": {"n": 1}, "options": {}},
        {"index": 1, "task": "child", "payload": {"n": 2}, "options": {"delay": "1h"}},
    ]


def test_runs_are_known_at_once_in_item_order(api: FakeApi) -> None:
    handle = tasks.sync.batch_trigger("child", [item(number) for number in range(5)])

    value = ids.parse(ids.BATCH, handle.batch_id)
    assert [run.id for run in handle.runs] == [ids.show("run", ids.item_run_id(value, n)) for n in range(5)]
    assert [run.id for run in handle.runs] == sorted(run.id for run in handle.runs)
    assert handle.run_count == 5
    assert json.loads(json.dumps(handle.to_dict()))["runs"][4]["id"] == handle.runs[4].id


async def test_batch_options_are_defaults_of_items(api: FakeApi) -> None:
    await tasks.batch_trigger("child", [item(1), item(2, delay="2h")], delay="1h", tags="x", idempotency_key="k")

    create, fill = api.seen
    assert create.json["idempotencyKey"] == sha256(b"k").hexdigest()
    assert [line["options"] for line in fill.lines] == [
        {
            "delay": delay,
            "tags": ["x"],
            "idempotencyKey": sha256(key.encode()).hexdigest(),
            "idempotencyKeyOptions": {"key": key, "scope": "run"},
        }
        for delay, key in (("1h", "k-0"), ("2h", "k-1"))
    ]


async def test_every_form_of_item_is_understood(api: FakeApi) -> None:
    @task
    async def resize(payload: int) -> int:
        return payload

    await batch.trigger(
        [
            item("by-id", 1, ttl=60),
            resize.item(2),
            {"id": "by-id", "payload": 3, "options": {"ttl": "5m"}},
            {"task": resize, "payload": 4},
            {"id": "without-payload"},
        ]
    )

    lines = api.seen[1].lines
    assert [(line["task"], line.get("payload")) for line in lines] == [
        ("by-id", 1), ("resize", 2), ("by-id", 3), ("resize", 4), ("without-payload", None)
    ]  # fmt: skip
    assert [line["options"].get("ttl") for line in lines] == [60, None, "5m", None, None]
    assert api.seen[0].json["taskIdentifiers"] == ["by-id", "resize", "without-payload"]


async def test_iterables_and_async_iterables_are_taken(api: FakeApi) -> None:
    async def later() -> AsyncIterator[Any]:
        for number in range(3):
            await asyncio.sleep(0)
            yield item(number)

    await tasks.batch_trigger("child", (item(number) for number in range(3)))
    await tasks.batch_trigger("child", later())

    assert [line["payload"] for line in api.seen[1].lines] == [0, 1, 2]
    assert [line["payload"] for line in api.seen[3].lines] == [0, 1, 2]


@pytest.mark.parametrize(
    ("items", "raised", "message"),
    [
        ([], ValueError, "items is empty"),
        ("abc", TypeError, "items is str"),
        ({"payload": 1}, TypeError, "items is dict"),
        (3, TypeError, "items is int"),
        ([item(1), "two"], TypeError, r"items\[1\] is str; expected item"),
        ([{"payloud": 1}], TypeError, r"unknown key of items\[0\] 'payloud'; did you mean 'payload'"),
        ([item(1, delay="soon")], ValueError, r"items\[0\]: delay='soon' is not accepted"),
        ([item(1, dealy="1h")], TypeError, r"items\[0\]: unknown option 'dealy'; did you mean 'delay'"),  # type: ignore[call-overload]
        ([item("other", 1)], ValueError, r"items\[0\] is for task 'other' in a batch of 'child'"),
        ([item(object())], PayloadValidationError, r"items\[0\]: .*cannot be written as JSON"),
        ([item(1)] * 1001, BatchTriggerError, "has 1,001 items; the limit is 1,000"),
    ],
)
def test_impossible_items_are_refused_before_any_request(
    api: FakeApi, items: Any, raised: type[Exception], message: str
) -> None:
    with pytest.raises(raised, match=message):
        _ = tasks.batch_trigger("child", items)
    assert api.seen == []


def test_batch_of_several_needs_a_task_in_each_item(api: FakeApi) -> None:
    @task
    async def resize(payload: int) -> int:
        return payload

    with pytest.raises(TypeError, match=r"items\[0\] names no task"):
        batch.sync.trigger([item(1)])
    with pytest.raises(TypeError, match=r"items\[1\] has no task at hand"):
        batch.sync.trigger_by_task([resize.item(1), item("resize", 1)])
    with pytest.raises(PayloadValidationError, match=r"items\[1\]: .*payload is str; expected int"):
        batch.sync.trigger([resize.item(1), {"task": resize, "payload": "x"}])
    assert api.seen == []


def test_unsealed_batch_is_sent_again_whole(api: FakeApi, clock: SetClock, batch_trigger: Callable[..., Any]) -> None:
    missing = {"itemsAccepted": 1, "itemsDeduplicated": 0, "sealed": False, "runCount": 2}
    api.prepare(ITEMS, *[Reply(200, {"id": "batch_1", "enqueuedCount": 1, "expectedCount": 2, **missing})] * 2)

    batch_trigger("child", [item(1), item(2)])

    assert len({seen.body for seen in api.seen[1:]}) == 1
    assert len(api.seen) == 4
    assert len(clock.slept) == 2


def test_batch_that_never_seals_is_given_up(api: FakeApi, clock: SetClock) -> None:
    missing = {"itemsAccepted": 1, "itemsDeduplicated": 0, "sealed": False, "runCount": 2}
    api.prepare(ITEMS, *[Reply(200, {"id": "batch_1", "enqueuedCount": 1, "expectedCount": 2, **missing})] * 5)

    with pytest.raises(BatchTriggerError, match="has 1 of its 2 items after 5 attempts") as caught:
        tasks.sync.batch_trigger("child", [item(1), item(2)])

    assert (caught.value.phase, caught.value.item_count) == ("stream", 2)
    assert caught.value.batch_id is not None
    assert not caught.value.is_rate_limited


def test_refused_creation_names_its_phase(api: FakeApi, clock: SetClock, batch_trigger: Callable[..., Any]) -> None:
    reset = {"x-ratelimit-reset": str(round((clock.at + 60) * 1000)), "x-should-retry": "false"}
    api.prepare("POST /api/v3/batches", Reply(429, {"error": "too many items"}, reset))

    with pytest.raises(BatchTriggerError, match="could not create a batch of 2 items: too many items") as caught:
        batch_trigger("child", [item(1), item(2)])

    assert (caught.value.phase, caught.value.batch_id, caught.value.item_count) == ("create", None, 2)
    assert caught.value.is_rate_limited
    assert caught.value.retry_after_ms == 60_000
    assert isinstance(caught.value.__cause__, RateLimited)


def test_refused_items_name_phase_and_batch(api: FakeApi, clock: SetClock) -> None:
    api.prepare(ITEMS, Reply(422, {"error": "Invalid item at index 1: bad tags"}))

    with pytest.raises(BatchTriggerError, match="Invalid item at index 1") as caught:
        tasks.sync.batch_trigger("child", [item(1), item(2)])

    assert (caught.value.phase, caught.value.batch_id) == ("stream", api.seen[0].json["id"])


async def test_cached_batch_is_not_filled_again(api: FakeApi) -> None:
    known = ids.new_batch_id()
    api.prepare("POST /api/v3/batches", Reply(200, {"id": known, "runCount": 1, "isCached": True}))

    handle = await tasks.batch_trigger("child", [item(1)], idempotency_key="k")

    assert handle.id == known
    assert len(api.seen) == 1


async def test_batch_is_retrieved_by_id_or_handle(api: FakeApi) -> None:
    view = {
        "id": "batch_1", "status": "COMPLETED", "createdAt": "2024-01-01T00:00:00Z",
        "updatedAt": "2024-01-01T00:00:00Z",        "runCount": 1, "runs": ["run_1"], "processing": {"errors": []},
    }  # fmt: skip
    api.prepare("GET /api/v2/batches/", *[Reply(200, view)] * 3)
    handle = await tasks.batch_trigger("child", [item(1)])

    assert (await batch.retrieve("batch_1")).runs == ["run_1"]
    assert (await handle.retrieve()).status == "COMPLETED"
    assert (await asyncio.to_thread(handle.sync.retrieve)).run_count == 1
    assert api.paths[-1] == f"GET /api/v2/batches/{handle.id}"
