"""What official clients throw: the class, the status and the words of each refusal."""

import pytest

from tests.clients.client import Client


@pytest.mark.parametrize(
    ("scenario", "class_", "status", "told"),
    [
        ("unknownRun", "NotFoundError", 404, "no run run_0000"),
        ("unknownBatch", "NotFoundError", 404, "batch_0000"),
        ("noRunId", "NotFoundError", 404, "'nonsense' is not a run id"),
        ("unknownStatus", "BadRequestError", 400, "filter[status]: found 'DONE'"),
        ("tooManyTags", "UnprocessableEntityError", 422, "11"),
        ("badDebounce", "UnprocessableEntityError", 422, "maxDelay"),
        ("hugeMetadata", "ApiError", 413, "262,144"),
    ],
)
async def test_refusal_is_thrown_as_its_class_and_final(
    client: Client, scenario: str, class_: str, status: int, told: str
) -> None:
    error = await client.refused(f"errors.{scenario}")

    assert (error["class"], error["status"], error["name"]) == (class_, status, "TriggerApiError")
    assert told in error["message"]
    assert error["shouldRetry"] == "false"


@pytest.mark.parametrize("key", ["tr_dev_sk_ZZZZZZZZZZZZZZZZZZZZZZZZ", "nonsense"])
async def test_wrong_key_is_an_authentication_error(client: Client, key: str) -> None:
    error = await client.refused("errors.wrongKey", key)

    assert (error["class"], error["status"], error["code"]) == ("AuthenticationError", 401, "unauthorized")
    assert "TRIGGER_SECRET_KEY" in error["message"]


async def test_ended_run_cannot_be_rescheduled(client: Client) -> None:
    run = await client("triggering.triggerAndPoll", {"id": "my-task", "payload": 1})

    error = await client.refused("errors.rescheduleEnded", run["id"])

    assert (error["class"], error["status"]) == ("BadRequestError", 400)


async def test_nonsense_is_no_time_to_reschedule_to(client: Client) -> None:
    handle = await client("triggering.trigger", {"id": "my-task", "payload": 1, "options": {"delay": "1h"}})

    error = await client.refused("errors.rescheduleToNonsense", handle["id"])

    assert (error["class"], error["status"]) == ("BadRequestError", 400)
    assert "soon" in error["message"]


async def test_bad_item_fails_alone(each_client: Client) -> None:
    said = await each_client("errors.badItem")

    assert (said["good"], said["status"]) == (1, "SYSTEM_FAILURE")
    assert "11" in said["error"]["message"]


async def test_refusal_is_an_instance_of_api_error(each_client: Client) -> None:
    assert await each_client("errors.isApiError") == "application/json"
