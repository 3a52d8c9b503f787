"""Subscriptions: what they put up with, and what they read from the rows that they are told."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oncue import ConnectionFailed, FollowedRun, runs, streams
from oncue.protocol import codec
from oncue.sdk import run_rows, settings

from .conftest import FakeApi, Reply, SetClock

FEED = "GET /realtime/v1/runs?"
ADDRESS = "GET /api/v1/packets/"
LIMITED = Reply(429, {"error": "too many", "code": "rate_limited"})
STORED = "2030-01-31/large.json"
ROW = {
    "id": "1",
    "friendlyId": "run_1",
    "taskIdentifier": "child",
    "status": "EXECUTING",
    "createdAt": "2030-01-02T03:04:05.678",
    "updatedAt": "2030-01-02T03:04:06.000",
    "payload": '{"a": 1}',
    "payloadType": codec.JSON,
    "output": None,
    "outputType": codec.JSON,
    "error": None,
}
LARGE = {"payload": STORED, "payloadType": codec.STORE}

Seen = Callable[[int], list[FollowedRun]]


def told(*changes: dict[str, Any]) -> Reply:
    """Answer with rows that differ from the usual one."""
    messages: list[Any] = [{"key": "1", "value": {**ROW, **change}, "headers": {}} for change in changes]
    headers = {"electric-offset": "1_1", "electric-handle": "handle", "electric-cursor": "1"}
    return Reply(200, [*messages, {"headers": {"control": "up-to-date"}}], headers)


def row(**changes: Any) -> run_rows.RunRow:
    (found,) = run_rows.read(json.dumps([{"value": {**ROW, **changes}}]).encode())
    return found


@pytest.fixture(params=["async", "sync"])
def seen(request: pytest.FixtureRequest) -> Seen:
    """Returns the first runs that a subscription to a tag yields."""

    async def followed(count: int) -> list[FollowedRun]:
        following = runs.subscribe_to_tags("a")
        return [await anext(following) for _ in range(count)]

    def followed_blocking(count: int) -> list[FollowedRun]:
        following: Iterator[FollowedRun] = runs.sync.subscribe_to_tags("a")
        return [next(following) for _ in range(count)]

    return followed_blocking if request.param == "sync" else lambda count: asyncio.run(followed(count))


def test_beginning_anew_again_and_again_pauses_ever_longer(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    api.prepare(FEED, *[Reply(409, [], {"electric-handle": "other"})] * 6, told({}))

    seen(1)

    assert len(clock.slept) == 6
    assert 0.1 <= clock.slept[0] <= 0.2
    assert clock.slept[5] >= 0.1 * 1.3**5


def test_snapshots_between_refusals_do_not_shorten_the_pauses(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    anew = Reply(409, [], {"electric-handle": "other"})
    api.prepare(FEED, told({}), *[anew, told({})] * 6)

    seen(7)

    assert clock.slept[5] >= 0.1 * 1.3**5


def test_held_answer_makes_the_next_pause_short(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    api.prepare(FEED, told({}), *[Reply(503)] * 6, told({}), Reply(503), told({}))

    seen(3)

    assert clock.slept[6] <= 0.2


def test_rate_limit_that_lasts_ends_no_subscription(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    api.prepare(FEED, *[LIMITED] * 8, told(LARGE))
    api.prepare(ADDRESS, *[LIMITED] * 12)
    api.stored["/store/large.json"] = b'{"b": 2}', codec.JSON

    (run,) = seen(1)

    assert run.payload == {"b": 2}
    assert run.payload_presigned_url is None


def test_large_payload_is_fetched_once_for_many_changes(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    api.prepare(FEED, told(LARGE), *[told({**LARGE, "metadata": f'{{"stage": {stage}}}'}) for stage in range(3)])
    api.stored["/store/large.json"] = b'{"json": {"b": 2}, "meta": {}}', codec.SUPER_JSON

    found = seen(4)

    assert [run.payload for run in found] == [{"b": 2}] * 4
    assert [run.metadata for run in found[1:]] == [{"stage": 0}, {"stage": 1}, {"stage": 2}]
    assert len([path for path in api.paths if path.startswith(("GET /store", ADDRESS))]) == 2


def test_document_that_is_gone_leaves_its_address(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    api.prepare(FEED, told({**LARGE, "status": "COMPLETED_SUCCESSFULLY", "output": '"done"'}))

    (run,) = seen(1)

    assert (run.payload, run.output) == (None, "done")
    assert run.payload_presigned_url == f"{api.url}/store/large.json?signed=2"


def test_document_without_an_address_is_none(api: FakeApi, clock: SetClock, seen: Seen) -> None:
    api.prepare(FEED, told(LARGE))
    api.prepare(ADDRESS, Reply(404, {"error": "gone"}, {"x-should-retry": "false"}))

    (run,) = seen(1)

    assert (run.payload, run.payload_presigned_url) == (None, None)


def test_run_told_twice_at_once_is_yielded_once() -> None:
    body = json.dumps([{"value": ROW}, {"value": {**ROW, "status": "CANCELED"}}, {"headers": {}}]).encode()

    assert [each.status for each in run_rows.read(body)] == ["CANCELED"]


@pytest.mark.parametrize(
    ("array", "tags"),
    [
        ("{}", []),
        (None, []),
        ('{"a"}', ["a"]),
        ('{"a b","c,d","{e}"}', ["a b", "c,d", "{e}"]),
        (r'{"quo\"te","back\\slash","both\\\""}', ['quo"te', "back\\slash", 'both\\"']),
    ],
)
def test_tags_are_read_from_an_array(array: str | None, tags: list[str]) -> None:
    assert run_rows.run(row(runTags=array)).tags == tags


def test_columns_that_a_token_hides_may_be_missing() -> None:
    hidden = dict.fromkeys(("payload", "payloadType", "output", "outputType", "error"))

    run = run_rows.run(row(**hidden))

    assert (run.payload, run.output, run.duration_ms, run.cost_in_cents, run.is_test) == (None, None, 0, 0.0, False)


def test_status_of_a_newer_server_counts_as_queued() -> None:
    run = run_rows.run(row(status="SOMETHING_NEW"))

    assert (run.status, run.is_queued, run.is_completed) == ("QUEUED", True, False)


def test_payload_that_is_not_of_its_type_is_none() -> None:
    assert run_rows.run(row(payload="[1]", payloadType=codec.SUPER_JSON)).payload is None


@pytest.mark.parametrize("follow", [lambda: runs.sync.subscribe("run_1"), lambda: streams.sync.read("run_1", "words")])
def test_server_that_was_never_there_is_given_up(clock: SetClock, follow: Callable[[], Iterator[Any]]) -> None:
    settings.configure(api_url="http://127.0.0.1:1", secret_key="tr_dev_sk_" + "0" * 24)
    try:
        with pytest.raises(ConnectionFailed, match=r"no answer from http://127\.0\.0\.1:1"):
            next(follow())
    finally:
        settings.reset()
    assert clock.slept == pytest.approx([1.0, 1.6, 2.56, 4.096])
