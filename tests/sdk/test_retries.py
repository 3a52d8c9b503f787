"""When a call is sent again, on an event loop and on a thread alike."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from oncue import ApiError, BadRequest, Conflict, RateLimited, ServerError, tasks
from oncue.protocol.errors import ConnectionFailed
from oncue.sdk import settings

from .conftest import KEY, FakeApi, Reply, SetClock

TRIGGER = "POST /api/v1/tasks/child/trigger"
WAITS = [1.0, 1.6, 2.56, 4.096]

Trigger = Callable[[], Any]


@pytest.fixture(params=["async", "sync"])
def trigger(request: pytest.FixtureRequest) -> Trigger:
    if request.param == "sync":
        return lambda: tasks.sync.trigger("child", {"a": 1})
    return lambda: asyncio.run(tasks.trigger("child", {"a": 1}))


def test_passing_failures_are_retried_with_growing_waits(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    api.prepare(TRIGGER, Reply(500), Reply(503), Reply(409), Reply(408))

    handle = trigger()

    assert clock.slept == pytest.approx(WAITS)
    assert len(api.seen) == 5
    assert handle.id == api.seen[0].json["options"]["runId"]


def test_repetitions_are_the_same_request(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    api.prepare(TRIGGER, Reply(500))

    trigger()
    trigger()

    first, again, other = api.seen
    assert first.body == again.body
    key = "x-trigger-request-idempotency-key"
    assert first.headers[key] == again.headers[key] != other.headers[key]


def test_fifth_failure_raises_what_server_said(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    api.prepare(TRIGGER, *[Reply(500, {"error": "the database is away", "code": "unavailable"})] * 5)

    with pytest.raises(ServerError, match="the database is away"):
        trigger()

    assert len(api.seen) == 5
    assert clock.slept == pytest.approx(WAITS)


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (Reply(400, {"error": "no"}), BadRequest),
        (Reply(409, {"error": "no"}, {"x-should-retry": "false"}), Conflict),
        (Reply(500, {"error": "no"}, {"x-should-retry": "false"}), ServerError),
        (Reply(418, {"error": "no"}), ApiError),
        (Reply(302, None, {"location": "/elsewhere"}), ApiError),
    ],
    ids=str,
)
def test_final_refusals_are_not_retried(
    api: FakeApi, clock: SetClock, trigger: Trigger, reply: Reply, raised: type[ApiError]
) -> None:
    api.prepare(TRIGGER, reply)

    with pytest.raises(raised) as caught:
        trigger()

    assert caught.value.status == reply.status
    assert len(api.seen) == 1
    assert clock.slept == []


def test_server_may_ask_for_a_retry(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    api.prepare(TRIGGER, Reply(404, {"error": "no"}, {"x-should-retry": "true"}))

    trigger()

    assert clock.slept == [1.0]


def test_rate_limit_is_waited_out(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    reset_ms = round((clock.at + 7) * 1000)
    api.prepare(TRIGGER, Reply(429, {"error": "slow down"}, {"x-ratelimit-reset": str(reset_ms)}))

    trigger()

    assert len(clock.slept) == 1
    assert 7 <= clock.slept[0] <= 8


def test_rate_limit_that_stays_says_when_it_ends(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    reset_ms = round((clock.at - 5) * 1000)
    api.prepare(TRIGGER, *[Reply(429, {"error": "slow down"}, {"x-ratelimit-reset": str(reset_ms)})] * 5)

    with pytest.raises(RateLimited) as caught:
        trigger()

    assert clock.slept == pytest.approx(WAITS)
    assert caught.value.reset_at is not None
    assert caught.value.reset_at.timestamp() * 1000 == reset_ms


def test_silent_address_is_named_after_five_attempts(clock: SetClock, trigger: Trigger) -> None:
    settings.configure(secret_key=KEY, api_url="http://127.0.0.1:1")

    with pytest.raises(ConnectionFailed) as caught:
        trigger()

    assert clock.slept == pytest.approx(WAITS)
    message = str(caught.value)
    assert "http://127.0.0.1:1" in message
    assert "TRIGGER_API_URL" in message
    assert "oncue dev" in message
    assert KEY not in message


def test_answer_of_another_server_is_quoted(api: FakeApi, clock: SetClock, trigger: Trigger) -> None:
    api.prepare(TRIGGER, Reply(200, b"<html>Welcome to nginx</html>"))

    with pytest.raises(ApiError, match="Welcome to nginx") as caught:
        trigger()

    assert "TRIGGER_API_URL" in str(caught.value)
    assert len(api.seen) == 1
