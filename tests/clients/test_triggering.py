"""One run, triggered by official clients: handles, payloads, outputs, failures."""

from typing import Any

import pytest

from tests.clients.client import Client


async def test_trigger_returns_the_handle_of_the_client(each_client: Client) -> None:
    handle = await each_client("triggering.trigger", {"id": "my-task", "payload": {"some": "data"}})

    assert set(handle) == {"id", "isCached", "publicAccessToken"}
    assert handle["id"].startswith("run_")
    assert handle["isCached"] is False


@pytest.mark.parametrize(
    "payload", [{"some": "data"}, "text", "", '{"looks": "like JSON"}', "123", 123, 1.5, True, None, [], {}, [[], "é𝄞"]]
)
async def test_payload_and_output_are_what_was_sent(client: Client, payload: Any) -> None:
    run = await client("triggering.triggerAndPoll", {"id": "my-task", "payload": payload})

    assert (run["status"], run["isSuccess"], run["isCompleted"]) == ("COMPLETED", True, True)
    assert run.get("output") == payload
    assert run.get("payload") == payload


async def test_older_client_gets_the_output_as_well(each_client: Client) -> None:
    run = await each_client("triggering.triggerAndPoll", {"id": "my-task", "payload": {"some": ["data", None]}})

    assert run["output"] == {"some": ["data", None]}
    assert run["taskIdentifier"] == "my-task"
    assert run["attemptCount"] == 1
    assert run["triggerFunction"] == "trigger"


async def test_absent_payload_reaches_the_task_as_none(client: Client) -> None:
    run = await client("triggering.triggerWithoutPayload", "my-task")

    assert run["status"] == "COMPLETED"
    assert "payload" not in run
    assert run.get("output") is None


async def test_task_id_with_slash_and_space_is_found(each_client: Client) -> None:
    run = await each_client("triggering.triggerAndPoll", {"id": "folder/my task", "payload": "x"})

    assert run["taskIdentifier"] == "folder/my task"
    assert run["output"] == {"id": "folder/my task", "payload": "x"}


async def test_failed_run_tells_its_error(each_client: Client) -> None:
    run = await each_client("triggering.triggerAndPoll", {"id": "fails", "payload": "broken"})

    assert (run["status"], run["isFailed"], run["isCompleted"]) == ("FAILED", True, True)
    assert (run["error"]["name"], run["error"]["message"]) == ("ValueError", "broken")
    assert "backend.py" in run["error"]["stackTrace"]
    assert "output" not in run


async def test_task_instance_triggers_on_its_own_queue(client: Client) -> None:
    handle = await client("triggering.triggerByTask", {"id": "tells-of-itself", "queue": {"name": "declared-in-ts"}})
    run = await client("runs.poll", handle["id"])

    assert run["output"]["queue"] == "declared-in-ts"


async def test_waiting_outside_a_task_is_refused_by_the_client(client: Client) -> None:
    error = await client.refused("triggering.triggerAndWait", "my-task")

    assert "triggerAndWait can only be used from inside a task.run()" in error["message"]
