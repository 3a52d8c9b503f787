"""Batches of official clients: of each kind, from arrays and from streams."""

import uuid

import pytest

from tests.clients.client import Client

HANDLE = {"batchId", "runCount", "publicAccessToken"}


async def test_batch_of_one_task_returns_outputs_in_order(each_client: Client) -> None:
    items = [{"payload": {"number": number}} for number in range(5)]

    batch = await each_client("batches.batchTrigger", {"id": "my-task", "items": items})

    assert set(batch["handle"]) == HANDLE
    assert (batch["handle"]["runCount"], batch["runCount"], batch["status"]) == (5, 5, "COMPLETED")
    assert batch["outputs"] == [{"number": number} for number in range(5)]
    assert batch["processing"]["errors"] == []


async def test_batch_of_several_tasks_runs_each(each_client: Client) -> None:
    items = [{"id": "my-task-1", "payload": {"some": "x"}}, {"id": "my-task-2", "payload": {"other": "y"}}]

    by_id = await each_client("batches.trigger", {"items": items})
    by_task = await each_client("batches.triggerByTask", items)

    assert by_id["outputs"] == by_task["outputs"] == ["some x", "other y"]
    # Official handles hold no runs, whatever the server sends.
    assert set(by_id["handle"]) == set(by_task["handle"]) == HANDLE


async def test_items_take_options_of_their_own(client: Client) -> None:
    items = [
        {"id": "tells-of-itself", "payload": {}, "options": {"tags": ["a"], "queue": "first", "maxAttempts": 7}},
        {"id": "tells-of-itself", "payload": {}, "options": {"queue": {"name": "second", "concurrencyLimit": 3}}},
        {"id": "tells-of-itself", "payload": {}, "options": {"concurrencyKey": "user-1", "maxDuration": 60}},
    ]

    batch = await client("batches.trigger", {"items": items})

    first, second, third = batch["outputs"]
    assert (first["tags"], first["queue"], first["maxAttempts"], first["batchIndex"]) == (["a"], "first", 7, 0)
    assert (second["queue"], second["batchIndex"]) == ("second", 1)
    assert (third["concurrencyKey"], third["maxDuration"]) == ("user-1", 60)
    assert (await client("queues.retrieve", {"type": "custom", "name": "second"}))["concurrencyLimit"] == 3


async def test_batch_in_one_request_is_taken_from_older_clients(each_client: Client) -> None:
    items = [{"payload": {"number": number}, "options": {"tags": ["whole"]}} for number in range(3)]

    batch = await each_client("batches.whole", {"id": "my-task", "items": items})

    assert set(batch["handle"]) == {"id", "runCount", "publicAccessToken"}
    assert (batch["handle"]["runCount"], batch["status"]) == (3, "COMPLETED")
    assert batch["outputs"] == [{"number": number} for number in range(3)]


async def test_async_iterable_becomes_a_batch(each_client: Client) -> None:
    batch = await each_client("batches.streamed", {"id": "my-task", "count": 12})

    assert batch["runCount"] == 12
    assert batch["outputs"] == [{"number": number} for number in range(12)]


async def test_readable_stream_becomes_a_batch(client: Client) -> None:
    batch = await client("batches.streamedByStream", {"ids": ["my-task-1", "my-task-2", "my-task-1"]})

    assert batch["outputs"] == ["some 1", "other 2", "some 1"]


async def test_batch_of_a_thousand_items_is_taken(client: Client) -> None:
    items = [{"payload": number, "options": {"delay": "1h"}} for number in range(1_000)]

    handle = await client("batches.created", {"id": "my-task", "items": items})

    retrieved = await client("batches.retrieve", handle["batchId"])
    assert (handle["runCount"], retrieved["status"], len(set(retrieved["runs"]))) == (1_000, "PROCESSING", 1_000)


async def test_batch_key_stands_for_the_same_batch(each_client: Client) -> None:
    key = uuid.uuid4().hex
    call = {"id": "my-task", "items": [{"payload": 1}, {"payload": 2}], "options": {"idempotencyKey": key}}

    first = await each_client("batches.batchTrigger", call)
    again = await each_client("batches.batchTrigger", call)

    assert again["handle"]["batchId"] == first["handle"]["batchId"]
    assert again["runs"] == first["runs"]


async def test_key_of_an_item_stands_for_one_run(each_client: Client) -> None:
    key = uuid.uuid4().hex
    items = [{"payload": 1, "options": {"idempotencyKey": key}}, {"payload": 2}]

    first = await each_client("batches.batchTrigger", {"id": "my-task", "items": items})
    again = await each_client("batches.batchTrigger", {"id": "my-task", "items": items})

    assert first["outputs"] == again["outputs"] == [1, 2]
    assert first["runs"][1] != again["runs"][1]
    shown = [(await each_client("runs.retrieve", batch["runs"][0])) for batch in (first, again)]
    assert shown[0]["id"] == shown[1]["id"]
    assert shown[0]["idempotencyKey"] == key


@pytest.mark.parametrize(
    ("items", "status"),
    [([], 400), ([{"payload": 1}] * 1_001, 400)],
    ids=["none", "too many"],
)
async def test_wrong_count_of_items_fails_in_phase_create(client: Client, items: list[object], status: int) -> None:
    error = await client.refused("batches.created", {"id": "my-task", "items": items})

    assert (error["class"], error["phase"], error["itemCount"]) == ("BatchTriggerError", "create", len(items))
    assert error["isRateLimited"] is False
    assert (error["cause"]["class"], error["cause"]["status"]) == ("BadRequestError", status)
    assert "batchId" not in error
