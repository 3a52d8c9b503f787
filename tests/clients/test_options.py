"""Options of a trigger, sent by official clients: each reaches the run, and the task that it is for."""

import uuid
from typing import Any

import pytest

from tests.clients.client import Client

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"queue": "plain"}, {"queue": "plain"}),
        ({"queue": {"name": "wrapped", "concurrencyLimit": 10}}, {"queue": "wrapped"}),
        ({"concurrencyKey": "user-123"}, {"concurrencyKey": "user-123"}),
        ({"maxAttempts": 1}, {"maxAttempts": 1}),
        ({"maxDuration": 300}, {"maxDuration": 300}),
        ({"tags": "one"}, {"tags": ["one"]}),
        ({"tags": ["user:1", "org 2"]}, {"tags": ["org 2", "user:1"]}),
        ({"metadata": {"user": {"id": 1}, "list": [None]}}, {"metadata": {"user": {"id": 1}, "list": [None]}}),
        ({"priority": 10}, {"priority": 10}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_option_reaches_the_task(each_client: Client, options: dict[str, Any], told: dict[str, Any]) -> None:
    call = {"id": "tells-of-itself", "payload": {}, "options": options}

    run = await each_client("triggering.triggerAndPoll", call)

    assert {name: run["output"][name] for name in told} == told


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"machine": "large-1x"}, {}),
        ({"region": "eu-central-1"}, {"region": "eu-central-1"}),
        ({"metadata": {"some": "data"}}, {"metadata": {"some": "data"}}),
        ({"version": "20300131.1"}, {"version": "20300131.1"}),
        ({"tags": ["a", "a"]}, {"tags": ["a"]}),
    ],
    ids=lambda value: next(iter(value), ""),
)
async def test_option_is_shown_by_retrieve(each_client: Client, options: dict[str, Any], shown: dict[str, Any]) -> None:
    call = {"id": "my-task", "payload": {}, "options": {"delay": "1h", **options}}

    run = await each_client("runs.retrieve", (await each_client("triggering.trigger", call))["id"])

    assert {name: run.get(name) for name in shown} == shown


async def test_delay_takes_durations_and_dates(each_client: Client) -> None:
    said = await each_client("options.delays")

    assert said["hourMs"] == pytest.approx(HOUR_MS, abs=5_000)
    assert said["secondsMs"] == pytest.approx(88_000, abs=5_000)
    # As with the hosted service, a moment that is past delays nothing.
    assert said["pastIsDelayed"] is False
    assert said["offByMs"] == 0


async def test_lifetime_takes_durations_and_seconds(each_client: Client) -> None:
    assert await each_client("options.lifetimes") == ["1h", "1h", "2h30m", None]


async def test_run_that_nobody_takes_expires(client: Client) -> None:
    run = await client("options.expired", uuid.uuid4().hex)

    assert (run["status"], run["isCompleted"], run["isFailed"]) == ("EXPIRED", True, True)
    assert "expiredAt" in run


@pytest.mark.parametrize(("mode", "count"), [(None, 1), ("leading", 1), ("trailing", 2)])
async def test_debounced_calls_share_one_run(each_client: Client, mode: str | None, count: int) -> None:
    said = await each_client("options.debounced", {"key": uuid.uuid4().hex, "mode": mode})

    assert said == {"same": True, "cached": False, "status": "DELAYED", "payload": {"count": count}}


async def test_debounced_items_of_a_batch_share_one_run(client: Client) -> None:
    said = await client("options.debouncedInBatch", uuid.uuid4().hex)

    assert said == {"count": 2, "payload": {"count": 3}}
