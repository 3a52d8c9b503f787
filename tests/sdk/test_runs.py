"""Listing, polling and cancelling runs."""

import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from oncue import queue, runs, task, tasks
from oncue.protocol.queues import QueueView

from .conftest import FakeApi, Reply, SetClock
from .test_handles import view


def page(*ids: str, after: str | None = None) -> Reply:
    env = {"id": "env_1", "name": "dev"}
    data = [{**view("COMPLETED").body, "id": run_id, "env": env} for run_id in ids]
    return Reply(200, {"data": data, "pagination": {"next": after} if after else {}})


def query(api: FakeApi, index: int = -1) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(api.seen[index].path).query))


async def test_list_follows_pages_by_itself(api: FakeApi) -> None:
    api.prepare("GET /api/v1/runs", page("run_3", "run_2", after="c1"), page("run_1"))

    found = [run.id async for run in runs.list()]

    assert found == ["run_3", "run_2", "run_1"]
    assert [query(api, index) for index in (0, 1)] == [
        {"page[size]": "100"},
        {"page[size]": "100", "page[after]": "c1"},
    ]


def test_blocking_list_asks_no_further_than_it_is_read(api: FakeApi) -> None:
    api.prepare("GET /api/v1/runs", page("run_3", "run_2", after="c1"))

    first = next(iter(runs.sync.list()))

    assert first.id == "run_3"
    assert first.env.name == "dev"
    assert len(api.seen) == 1


def test_limit_bounds_all_pages_together(api: FakeApi) -> None:
    api.prepare("GET /api/v1/runs", page("run_3", "run_2", after="c1"), page("run_1", after="c2"))

    assert [run.id for run in runs.sync.list(limit=3)] == ["run_3", "run_2", "run_1"]
    assert [query(api, index)["page[size]"] for index in (0, 1)] == ["3", "1"]


def test_filters_are_written_as_the_contract_says(api: FakeApi) -> None:
    api.prepare("GET /api/v1/runs", page())
    moment = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)

    list_ = runs.sync.list(
        status=["FAILED", "CRASHED"], task="child", tag=["a", "b"], queue="task/child", batch="batch_1", version="v1",
        region="eu", machine="micro", is_test=False, created_after=moment, created_before=moment, period="1d",
        limit=None,
    )  # fmt: skip

    assert list(list_) == []
    assert query(api) == {
        "page[size]": "100",
        "filter[status]": "FAILED,CRASHED",
        "filter[taskIdentifier]": "child",
        "filter[tag]": "a,b",
        "filter[queue]": "task/child",
        "filter[batch]": "batch_1",
        "filter[version]": "v1",
        "filter[region]": "eu",
        "filter[machine]": "micro",
        "filter[isTest]": "false",
        "filter[createdAt][from]": "1704067200000",
        "filter[createdAt][to]": "1704067200000",
        "filter[createdAt][period]": "1d",
    }


def test_queues_are_named_by_anything_that_has_their_name(api: FakeApi) -> None:
    api.prepare("GET /api/v1/runs", page(), page())
    mail = queue("mail", concurrency_limit=2)

    @task(id="alone")
    def alone() -> None: ...

    @task(id="mailing", queue=mail)
    def mailing() -> None: ...

    state: dict[str, Any] = {"id": "queue_1", "running": 0, "queued": 0, "paused": False, "concurrency_limit": None}
    views = [QueueView(name="alone", type="task", **state), QueueView(name="mail", type="custom", **state)]

    assert list(runs.sync.list(queue=[mail, alone, mailing, "task/other", *views])) == []
    assert list(runs.sync.list(queue=alone)) == []

    assert query(api, 0)["filter[queue]"] == "mail,task/alone,mail,task/other,task/alone,mail"
    assert query(api, 1)["filter[queue]"] == "task/alone"


@pytest.mark.parametrize(
    ("filters", "raised", "message"),
    [
        ({"status": "BROKEN"}, ValueError, "status='BROKEN' is not a status; expected one of .*FAILED"),
        ({"statuses": "FAILED"}, TypeError, "unknown filter 'statuses'; did you mean 'status'"),
        ({"tag": "a,b"}, ValueError, "without commas"),
        ({"tag": []}, ValueError, "is empty"),
        ({"queue": 7}, TypeError, "7 is not a queue; expected a queue's name or id, queue"),
        ({"queue": "queue_" + "0" * 25 + "7"}, ValueError, "is a queue's id, and runs show its name; pass the name"),
        ({"is_test": "no"}, ValueError, "is_test='no' is not accepted; expected True, False or None"),
        ({"limit": 0}, ValueError, "limit=0 is not accepted"),
        ({"period": "a day"}, ValueError, "period='a day' is not a length of time"),
        ({"created_after": datetime.datetime(2024, 1, 1)}, ValueError, "expected an aware datetime"),  # noqa: DTZ001
    ],
)
def test_impossible_filters_are_refused_at_the_call(
    api: FakeApi, filters: Any, raised: type[Exception], message: str
) -> None:
    with pytest.raises(raised, match=message):
        runs.list(**filters)
    with pytest.raises(raised, match=message):
        runs.sync.list(**filters)
    assert api.seen == []


async def test_poll_asks_at_even_intervals(api: FakeApi, clock: SetClock) -> None:
    api.prepare("GET /api/v3/runs/", view("QUEUED"), view("EXECUTING"), view("FAILED"))

    run = await runs.poll("run_1", interval="5s")

    assert run.status == "FAILED"
    assert clock.slept == [5, 5]


async def test_cancel_takes_id_or_handle(api: FakeApi) -> None:
    api.prepare("POST /api/v2/runs/", *[Reply(200, {"id": "run_1"})] * 2)
    handle = await tasks.trigger("child")

    await runs.cancel(handle)
    runs.sync.cancel("run_1")

    assert api.paths[1:] == [f"POST /api/v2/runs/{handle.id}/cancel", "POST /api/v2/runs/run_1/cancel"]


@pytest.mark.parametrize(
    ("delay", "sent"),
    [
        ("2h30m", "2h30m"),
        ("2031-01-01T10:00:00", "2031-01-01T10:00:00"),
        ("2031-01-01T10:00:00+02:00", "2031-01-01T10:00:00+02:00"),
        (datetime.timedelta(minutes=90), "1h30m"),
        (datetime.datetime(2031, 1, 1, 10, tzinfo=datetime.UTC), "2031-01-01T10:00:00+00:00"),
    ],
)
async def test_reschedule_takes_every_form_of_a_delay(api: FakeApi, delay: Any, sent: str) -> None:
    api.prepare("POST /api/v1/runs/run_1/reschedule", *[view("DELAYED")] * 2)

    run = await runs.reschedule("run_1", delay=delay)
    blocking = runs.sync.reschedule("run_1", delay=delay)

    assert run == blocking
    assert run.status == "DELAYED"
    assert [seen.json for seen in api.seen] == [{"delay": sent}] * 2


@pytest.mark.parametrize(
    "delay",
    ["soon", None, 60, datetime.timedelta(seconds=-1), datetime.datetime(2031, 1, 1)],  # noqa: DTZ001
)
def test_reschedule_refuses_what_is_no_delay(api: FakeApi, delay: Any) -> None:
    for reschedule in (runs.reschedule, runs.sync.reschedule):
        with pytest.raises(ValueError, match=r"delay=.* is not accepted; expected"):
            reschedule("run_1", delay=delay)
    assert api.seen == []


@pytest.mark.parametrize("run", [None, 3, ""])
def test_what_is_no_run_is_refused(run: Any) -> None:
    with pytest.raises(TypeError, match="is not a run"):
        runs.sync.cancel(run)
