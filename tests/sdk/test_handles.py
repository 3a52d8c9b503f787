"""Asking where a run stands, and waiting for it from outside."""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from oncue import Failed, NotFound, Ok, task, tasks

from .conftest import FakeApi, Reply, SetClock

RUN = "GET /api/v3/runs/"


@dataclass
class Receipt:
    number: int


def view(status: str, **fields: Any) -> Reply:
    done = status in ("COMPLETED", "FAILED", "CANCELED", "EXPIRED")
    return Reply(
        200,
        {
            "id": "run_1", "status": status, "taskIdentifier": "child", "isQueued": status == "QUEUED",
            "isExecuting": status == "EXECUTING", "isWaiting": False, "isCompleted": done,
            "isSuccess": status == "COMPLETED", "isFailed": done and status != "COMPLETED",
            "isCancelled": status == "CANCELED", "isTest": False, "createdAt": "2024-01-01T00:00:00Z",
            "updatedAt": "2024-01-01T00:00:00Z", "tags": [], "costInCents": 0, "baseCostInCents": 0,
            "durationMs": 3, "queue": "task/child", "depth": 0, "triggerFunction": "trigger", "relatedRuns": {},
            "attemptCount": 1, "priority": 0, **fields,
        },
    )  # fmt: skip


@pytest.fixture(params=["async", "sync"])
def result(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return lambda handle, **options: handle.sync.result(**options)
    return lambda handle, **options: asyncio.run(handle.result(**options))


def test_result_asks_quickly_then_once_a_second(api: FakeApi, clock: SetClock, result: Callable[..., Any]) -> None:
    api.prepare(RUN, *[view("EXECUTING")] * 7, view("COMPLETED", output={"number": 7}))

    ended = result(tasks.sync.trigger("child"))

    assert ended == Ok("run_1", "child", {"number": 7})
    assert clock.slept == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_result_reads_output_as_the_task_annotates_it(api: FakeApi, result: Callable[..., Any]) -> None:
    @task
    def child() -> Receipt:
        return Receipt(1)

    api.prepare(RUN, view("COMPLETED", output={"number": 7}))

    assert result(child.sync.trigger()).unwrap() == Receipt(7)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (view("FAILED", error={"message": "no stock", "name": "ValueError"}), "ValueError: no stock"),
        (view("CANCELED"), "CANCELED: the run ended as CANCELED"),
        (view("EXPIRED", error={"message": "Run expired"}), "Run expired"),
    ],
)
def test_result_of_other_ends_is_failed(api: FakeApi, result: Callable[..., Any], reply: Reply, message: str) -> None:
    api.prepare(RUN, reply)

    ended = result(tasks.sync.trigger("child"))

    assert isinstance(ended, Failed)
    assert str(ended.error) == message


def test_result_gives_up_at_its_timeout(api: FakeApi, clock: SetClock, result: Callable[..., Any]) -> None:
    api.prepare(RUN, *[view("EXECUTING")] * 50)

    with pytest.raises(TimeoutError, match="run_1 is EXECUTING after 2 s"):
        result(tasks.sync.trigger("child"), timeout=2)

    assert sum(clock.slept) == pytest.approx(2)


def test_retries_do_not_outlast_the_timeout(api: FakeApi, clock: SetClock, result: Callable[..., Any]) -> None:
    handle = tasks.sync.trigger("child")
    api.prepare(RUN, *[Reply(500, {"error": "away"})] * 5)

    with pytest.raises(Exception, match="away"):
        result(handle, timeout="2s")

    assert sum(clock.slept) <= 2


def test_impossible_timeout_is_refused(api: FakeApi) -> None:
    handle = tasks.sync.trigger("child")

    with pytest.raises(ValueError, match="timeout='soon' is not a length of time"):
        handle.sync.result(timeout="soon")


async def test_run_is_shown_in_python_values(api: FakeApi) -> None:
    handle = await tasks.trigger("child")
    parent = view("COMPLETED", metadata={"a": 1}).body
    shown = view("COMPLETED", payload=[1], output="x", metadata={"k": 1}, relatedRuns={"parent": parent})
    api.prepare(RUN, shown, shown)

    run = await handle.retrieve()

    assert (run.payload, run.output, run.metadata) == ([1], "x", {"k": 1})
    assert run.created_at == datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    assert run.is_success
    assert run.related_runs.parent is not None
    assert run.related_runs.parent.metadata == {"a": 1}
    assert api.paths[-1] == f"GET /api/v3/runs/{handle.id}"
    assert await asyncio.to_thread(handle.sync.retrieve) == run


async def test_unknown_run_is_not_found(api: FakeApi) -> None:
    handle = await tasks.trigger("child")

    with pytest.raises(NotFound):
        await handle.retrieve()
