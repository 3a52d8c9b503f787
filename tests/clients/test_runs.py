"""What official clients ask of runs: retrieve, list, poll, cancel, replay, reschedule."""

import datetime
import uuid
from typing import Any

import pytest

from tests.clients.client import Client


async def delayed(client: Client, **options: Any) -> str:
    handle = await client("triggering.trigger", {"id": "my-task", "payload": 1, "options": {"delay": "1h", **options}})
    run: str = handle["id"]
    return run


async def test_retrieve_takes_an_id_and_a_handle(each_client: Client) -> None:
    run = await delayed(each_client, tags=["b", "a"])

    retrieved = await each_client("runs.retrieve", run)

    assert (retrieved["id"], retrieved["status"], retrieved["isQueued"]) == (run, "DELAYED", True)
    assert retrieved["tags"] == ["a", "b"]
    assert retrieved["attemptCount"] == 0


async def test_list_pages_by_for_await(each_client: Client) -> None:
    tag = uuid.uuid4().hex
    made = [await delayed(each_client, tags=tag) for _ in range(5)]

    found = await each_client("runs.all", {"tag": tag, "limit": 2})

    assert found == made[::-1]


async def test_list_pages_back_and_forth(client: Client) -> None:
    tag = uuid.uuid4().hex
    made = [await delayed(client, tags=tag) for _ in range(5)][::-1]

    assert await client("runs.backwards", {"tag": tag, "limit": 2}) == [made[4:], made[2:4], made[:2]]


async def test_every_filter_of_the_client_is_understood(client: Client) -> None:
    tag = uuid.uuid4().hex
    queue = f"queue-{tag}"
    run = await delayed(client, tags=[tag], queue=queue, machine="small-2x", region="eu-central-1")
    filters = {
        "status": ["DELAYED", "QUEUED"],
        "taskIdentifier": ["my-task", "other"],
        "tag": [tag],
        "isTest": False,
        "period": "1d",
        "queue": {"type": "custom", "name": queue},
        "machine": ["small-2x"],
        "region": "eu-central-1",
    }

    assert await client("runs.all", filters) == [run]
    assert await client("runs.between", {"tag": tag, "lastMs": 60_000}) == [True]
    for wrong in (
        {"status": "COMPLETED"},
        {"taskIdentifier": "other"},
        {"isTest": True},
        {"machine": "micro"},
        {"region": "x"},
        {"queue": {"type": "task", "name": "my-task"}},
        {"version": "1"},
        {"bulkAction": "bulk_00000000000000000000000001"},
        {"schedule": "sched_1"},
    ):
        assert await client("runs.all", {**filters, **wrong}) == []


async def test_list_shows_runs_of_one_batch(client: Client) -> None:
    batch = await client("batches.batchTrigger", {"id": "my-task", "items": [{"payload": 1}, {"payload": 2}]})

    listed = await client("runs.page", {"batch": batch["id"]})

    assert sorted(run["id"] for run in listed["data"]) == sorted(batch["runs"])
    assert {run["env"]["name"] for run in listed["data"]} == {"dev"}
    assert listed["pagination"] == {}


@pytest.mark.parametrize(
    ("task", "status"),
    [("takes-too-long", "TIMED_OUT"), ("dies", "CRASHED"), ("fails", "FAILED"), ("my-task", "COMPLETED")],
)
async def test_polling_ends_with_every_final_status(client: Client, task: str, status: str) -> None:
    run = await client("triggering.triggerAndPoll", {"id": task, "payload": None})

    assert (run["status"], run["isCompleted"], run["isSuccess"]) == (status, True, status == "COMPLETED")
    assert run["isFailed"] is (status != "COMPLETED")
    assert isinstance(run.get("error", {}).get("message", ""), str)
    assert run["id"] in await client("runs.all", {"status": status})


async def test_executing_run_is_shown_and_cancelled(client: Client) -> None:
    handle = await client("triggering.trigger", {"id": "stays-until-cancelled", "payload": None})
    executing = await client("runs.begun", handle["id"])

    await client("runs.cancel", handle["id"])

    assert (executing["isExecuting"], executing["isQueued"], executing["isCompleted"]) == (True, False, False)
    assert (await client("runs.poll", handle["id"]))["status"] == "CANCELED"


async def test_task_that_nobody_knows_waits_for_a_version(each_client: Client) -> None:
    handle = await each_client("triggering.trigger", {"id": f"unknown-{uuid.uuid4().hex}", "payload": 1})

    run = await each_client("runs.retrieve", handle["id"])

    assert (run["status"], run["isQueued"]) == ("PENDING_VERSION", True)


async def test_cancel_returns_the_id_twice(each_client: Client) -> None:
    run = await delayed(each_client)

    assert await each_client("runs.cancel", run) == {"id": run}
    assert await each_client("runs.cancel", run) == {"id": run}

    ended = await each_client("runs.poll", run)
    assert (ended["status"], ended["isCancelled"], ended["isCompleted"]) == ("CANCELED", True, True)


async def test_replay_makes_another_run(each_client: Client) -> None:
    first = await each_client("triggering.triggerAndPoll", {"id": "my-task", "payload": {"some": "data"}})

    made = await each_client("runs.replay", {"id": first["id"]})

    assert made["id"] != first["id"]
    assert (await each_client("runs.poll", made["id"]))["output"] == {"some": "data"}


async def test_replay_takes_what_is_to_be_otherwise(client: Client) -> None:
    first = await client("triggering.triggerAndPoll", {"id": "tells-of-itself", "payload": 1})
    options = {
        "payload": {"other": 1},
        "tags": ["again"],
        "queue": "replays",
        "concurrencyKey": "k",
        "maxAttempts": 4,
        "maxDuration": 77,
        "metadata": {"why": "again"},
        "priority": 3,
    }

    made = await client("runs.replay", {"id": first["id"], "options": options})

    again = await client("runs.poll", made["id"])
    told = again["output"]
    assert again["payload"] == {"other": 1}
    assert (told["tags"], told["queue"], told["concurrencyKey"]) == (["again"], "replays", "k")
    assert (told["maxAttempts"], told["maxDuration"], told["priority"]) == (4, 77, 3)
    assert told["metadata"] == {"why": "again"}


async def test_reschedule_moves_a_delayed_run(each_client: Client) -> None:
    run = await delayed(each_client)
    before = (await each_client("runs.retrieve", run))["delayedUntil"]

    moved = await each_client("runs.reschedule", {"id": run, "delay": "2h"})

    assert moved["status"] == "DELAYED"
    assert at(moved["delayedUntil"]) - at(before) > datetime.timedelta(minutes=50)


async def test_reschedule_takes_a_date(client: Client) -> None:
    moved = await client("runs.rescheduleToDate", {"id": await delayed(client), "inMs": 7_200_000})

    assert moved["sent"] == moved["delayedUntil"]


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
