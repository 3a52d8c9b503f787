"""Cancelling and replaying many runs: what is asked for, and what is refused before it is."""

import datetime
from typing import Any

import msgspec
import pytest

from oncue import BulkAction, queue, runs

from .conftest import FakeApi, Reply, SetClock
from .test_handles import view


def action(status: str = "COMPLETED", success: int = 1) -> Reply:
    counts = {"total": 2, "success": success, "failure": 0}
    created = "2030-01-01T00:00:00Z"
    shown = {"id": "bulk_1", "type": "CANCEL", "status": status, "counts": counts, "createdAt": created}
    return Reply(200, shown)


def prepare(api: FakeApi) -> None:
    api.prepare("POST /api/v1/bulk-actions", action("PENDING", 0))


def sent(api: FakeApi) -> Any:
    return msgspec.json.decode(api.seen[0].body or b"")


async def test_named_runs_go_by_their_ids(api: FakeApi) -> None:
    prepare(api)
    api.prepare("GET /api/v3/runs/", view("FAILED"))
    run = await runs.retrieve("run_1")
    api.seen.clear()

    made = await runs.bulk.cancel([run, "run_2"], name="both")

    assert sent(api) == {"action": "cancel", "runIds": [run.id, "run_2"], "name": "both"}
    assert isinstance(made, BulkAction)
    assert (made.id, made.status, made.counts.total) == ("bulk_1", "PENDING", 2)


def test_filters_are_written_as_the_contract_says(api: FakeApi) -> None:
    prepare(api)
    moment = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)

    runs.sync.bulk.replay(
        status=["FAILED", "CRASHED"], task="child", tag=["a", "b"], queue=["task/child", queue("mail")],
        batch="batch_1", version="v1", region="eu", machine="micro", is_test=False, bulk_action="bulk_0",
        created_after=moment, created_before=moment, period="1h", target_region="us",
    )  # fmt: skip

    assert sent(api) == {
        "action": "replay",
        "targetRegion": "us",
        "filter": {
            "status": ["FAILED", "CRASHED"],
            "taskIdentifier": ["child"],
            "tag": ["a", "b"],
            "queue": [{"type": "task", "name": "child"}, {"type": "custom", "name": "mail"}],
            "batch": "batch_1",
            "version": ["v1"],
            "region": ["eu"],
            "machine": ["micro"],
            "isTest": False,
            "bulkAction": "bulk_0",
            "from": 1_704_067_200_000,
            "to": 1_704_067_200_000,
            "period": "1h",
        },
    }


@pytest.mark.parametrize(
    ("args", "filters", "raised", "message"),
    [
        ([], {}, ValueError, "nothing given to runs.bulk.cancel; expected either"),
        ([], {"tag": None}, ValueError, "nothing given to runs.bulk.cancel"),
        ([["run_1"]], {"tag": "a"}, ValueError, "runs and filters given to runs.bulk.cancel"),
        ([[]], {}, ValueError, "expected a list of 1 to 500 runs"),
        (["run_1"], {}, ValueError, "runs='run_1' is not accepted; expected a list"),
        ([[7]], {}, TypeError, "7 is not a run"),
        ([["run_1"] * 501], {}, ValueError, "expected a list of 1 to 500 runs"),
        ([iter(["run_1"])], {}, ValueError, "expected a list of 1 to 500 runs"),
        ([], {"tag": "\ud800"}, ValueError, "tag='.ud800' is not accepted"),
        ([["run_1"]], {"name": "\ud800"}, ValueError, "name='.ud800' is not accepted; expected a text"),
        ([], {"limit": 3}, TypeError, "unknown filter 'limit'"),
        ([], {"tags": "a"}, TypeError, "unknown filter 'tags'; did you mean 'tag'"),
    ],
)
def test_unclear_wishes_are_refused_at_the_call(
    api: FakeApi, args: Any, filters: Any, raised: type[Exception], message: str
) -> None:
    with pytest.raises(raised, match=message):
        _ = runs.bulk.cancel(*args, **filters)
    with pytest.raises(raised, match=message.replace("cancel", "replay")):
        runs.sync.bulk.replay(*args, **filters)
    assert api.seen == []


async def test_poll_asks_until_the_action_is_over(api: FakeApi, clock: SetClock) -> None:
    api.prepare("GET /api/v1/bulk-actions/bulk_1", action("PENDING"), action("PENDING"), action("ABORTED"))

    found = await runs.bulk.poll("bulk_1", interval="5s")

    assert found.status == "ABORTED"
    assert clock.slept == [5, 5]


def test_poll_says_how_far_it_is_when_time_is_up(api: FakeApi, clock: SetClock) -> None:
    api.prepare("GET /api/v1/bulk-actions/bulk_1", *[action("PENDING")] * 3)

    with pytest.raises(TimeoutError, match="bulk action bulk_1 has been through 1 of 2 runs after 7 s; it goes on"):
        runs.sync.bulk.poll("bulk_1", interval="5s", timeout="7s")


async def test_list_follows_pages_by_itself(api: FakeApi) -> None:
    def page(after: str | None) -> Reply:
        return Reply(200, {"data": [action().body], "pagination": {"next": after} if after else {}})

    api.prepare("GET /api/v1/bulk-actions", page("bulk_1"), page(None), page(None))

    assert [each.id async for each in runs.bulk.list()] == ["bulk_1"] * 2
    assert [each.id for each in runs.sync.bulk.list()] == ["bulk_1"]


async def test_abort_takes_an_action_or_its_id(api: FakeApi) -> None:
    api.prepare("GET /api/v1/bulk-actions/bulk_1", action("PENDING"))
    api.prepare("POST /api/v1/bulk-actions/bulk_1/abort", *[Reply(200, {"id": "bulk_1"})] * 2)

    await runs.bulk.abort(await runs.bulk.retrieve("bulk_1"))
    runs.sync.bulk.abort("bulk_1")

    with pytest.raises(TypeError, match="7 is not a bulk action; expected its id"):
        _ = runs.bulk.abort(7)  # type: ignore[arg-type]
    assert [request.method for request in api.seen] == ["GET", "POST", "POST"]
