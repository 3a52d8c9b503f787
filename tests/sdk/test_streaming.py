"""How long a stream is patient with a server that has no room for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oncue import BatchTriggerError, item, tasks
from oncue.sdk import sources

from .conftest import FakeApi, Reply, SetClock

ITEMS = "POST /api/v3/batches/"


def stream() -> Iterator[Any]:
    for number in range(sources.CHUNK + 1):
        yield item(number)


def refusal(clock: SetClock, after_s: float, **headers: str) -> Reply:
    reset_ms = round((clock.at + after_s) * 1000)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(429, {"error": "too many batch items"}, {"x-ratelimit-reset": str(reset_ms), **named})


@pytest.fixture
def open_api(api: FakeApi) -> FakeApi:
    """A server that takes streams."""
    answer = api.answer

    def answer_open(seen: Any) -> Reply:
        if seen.path.endswith("/seal"):
            api.seen.append(seen)
            sealed = {"itemsAccepted": 0, "itemsDeduplicated": 0, "sealed": True, "runCount": seen.json["runCount"]}
            return Reply(200, {"id": "batch_1", **sealed})
        if seen.path.endswith("/abort"):
            api.seen.append(seen)
            return Reply(200, {"id": "batch_1", "sealed": False})
        return answer(seen)

    api.answer = answer_open  # type: ignore[method-assign]
    return api


def sent(api: FakeApi) -> int:
    return sum(seen.path.endswith("/items") for seen in api.seen)


def test_stream_waits_out_any_number_of_limits(open_api: FakeApi, clock: SetClock) -> None:
    later = [refusal(clock, 100 * number) for number in range(1, 10)]
    open_api.prepare(ITEMS, *later, *[refusal(clock, -5, retry_after="7")] * 14)

    handle = tasks.sync.batch_trigger("child", stream())

    assert handle.run_count == sources.CHUNK + 1
    assert sent(open_api) == 2 + 23
    assert len(clock.slept) == 23


def test_limits_between_use_up_no_attempts(open_api: FakeApi, clock: SetClock) -> None:
    for number in range(1, 5):
        open_api.prepare(ITEMS, Reply(500), refusal(clock, 100 * number))

    tasks.sync.batch_trigger("child", stream())

    assert sent(open_api) == 2 + 8


UNNAMED: list[Callable[[SetClock], Reply]] = [
    lambda _: Reply(429, {"error": "too many"}),
    lambda clock: refusal(clock, -5),
    lambda clock: refusal(clock, -5, retry_after="0"),
    lambda _: Reply(503, {"error": "too many"}),
]


@pytest.mark.parametrize("reply", UNNAMED, ids=["no moment", "past moment", "no wait", "other failure"])
def test_stream_gives_up_where_no_wait_is_named(
    open_api: FakeApi, clock: SetClock, reply: Callable[[SetClock], Reply]
) -> None:
    open_api.prepare(ITEMS, *[reply(clock)] * 9)

    with pytest.raises(BatchTriggerError, match="too many") as caught:
        tasks.sync.batch_trigger("child", stream())

    assert sent(open_api) == 5
    assert caught.value.phase == "stream"


def test_creation_of_a_stream_has_five_attempts(open_api: FakeApi, clock: SetClock) -> None:
    open_api.prepare("POST /api/v3/batches", *[refusal(clock, 1_000_000)] * 9)

    with pytest.raises(BatchTriggerError, match="too many") as caught:
        tasks.sync.batch_trigger("child", stream())

    assert len(open_api.seen) == 5
    assert (caught.value.phase, caught.value.is_rate_limited) == ("create", True)


def test_ordinary_batch_gives_up_after_five_attempts(api: FakeApi, clock: SetClock) -> None:
    api.prepare(ITEMS, *[refusal(clock, 1_000_000)] * 9)

    with pytest.raises(BatchTriggerError) as caught:
        tasks.sync.batch_trigger("child", [item(1)])

    assert sent(api) == 5
    assert caught.value.is_rate_limited
