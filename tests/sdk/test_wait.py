"""Waits for moments and tokens: what is sent, what comes back, and what is refused at once."""

import datetime
from typing import Any

import msgspec
import pytest

from oncue import Completed, OutsideTaskError, TimedOut, WaitTimedOut, wait
from oncue.protocol import ids
from oncue.protocol.work import WaitpointSettled

from .conftest import FakeApi, FakeRun, Reply

TOKEN = ids.new_waitpoint_id()
WAITS = "POST /api/v1/work/waits"
MADE = Reply(200, {"id": TOKEN, "isCached": False, "url": "http://oncue/callback"}, {"x-trigger-jwt": "jwt"})


def settled(**fields: Any) -> WaitpointSettled:
    return WaitpointSettled(1, "run_parent", 1, TOKEN, resumes=True, **fields)


@pytest.mark.parametrize(
    ("given", "delay_ms"),
    [
        (lambda: wait.for_("2h30m"), 9_000_000),
        (lambda: wait.for_(1.5), 1_500),
        (lambda: wait.for_(datetime.timedelta(milliseconds=3)), 3),
        (lambda: wait.for_(minutes=5, seconds=0.5), 300_500),
        (lambda: wait.for_(weeks=1, days=1, hours=1), 694_800_000),
        (lambda: wait.for_(0), 0),
    ],
)
async def test_spans_are_sent_in_milliseconds(api: FakeApi, inside: FakeRun, given: Any, delay_ms: int) -> None:
    inside.settled = settled()
    api.prepare(WAITS, Reply(200, {"id": TOKEN}))

    await given()

    (seen,) = api.seen
    assert seen.json["delayMs"] == delay_ms
    assert (seen.json["callKey"], seen.json["parentRunId"]) == ("moment:*#1", inside.context.run.id)
    assert inside.waited_for == [TOKEN]


@pytest.mark.parametrize(
    ("when", "sent"),
    [
        (datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC), "2040-01-01T00:00:00Z"),
        ("2040-01-01T02:00:00+02:00", "2040-01-01T02:00:00+02:00"),
        ("2040-01-01", "2040-01-01T00:00:00Z"),
    ],
)
async def test_moments_are_sent_with_their_zone(api: FakeApi, inside: FakeRun, when: Any, sent: str) -> None:
    inside.settled = settled()
    api.prepare(WAITS, Reply(200, {"id": TOKEN}))

    await wait.until(when)

    assert api.seen[0].json["until"] == sent


async def test_completed_token_gives_its_output(api: FakeApi, inside: FakeRun) -> None:
    inside.settled = settled(output=msgspec.Raw(b'{"a":1}'))
    api.prepare(WAITS, Reply(200, {"id": TOKEN}))

    result = await wait.for_token(TOKEN)

    assert result == Completed(TOKEN, {"a": 1})
    assert (result.ok, result.unwrap()) == (True, {"a": 1})
    assert (api.seen[0].json["token"], api.seen[0].json["callKey"]) == (TOKEN, f"token:{TOKEN}#1")


async def test_token_that_timed_out_has_no_output(api: FakeApi, inside: FakeRun) -> None:
    inside.settled = settled(timed_out=True)
    api.prepare(WAITS, Reply(200, {"id": TOKEN}))

    result = await wait.for_token(TOKEN)

    assert result == TimedOut(TOKEN)
    with pytest.raises(WaitTimedOut, match=f"token {TOKEN} timed out"):
        result.unwrap()


async def test_token_is_made_with_its_options(api: FakeApi) -> None:
    api.prepare("POST /api/v1/waitpoints/tokens", MADE, MADE)

    token = await wait.create_token(timeout="1d", tags="a", idempotency_key="k" * 64, idempotency_key_ttl="1h30m")
    wait.sync.create_token(timeout=datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC))

    assert (token.id, token.url, token.public_access_token) == (TOKEN, "http://oncue/callback", "jwt")
    assert [seen.json for seen in api.seen] == [
        {"timeout": "1d", "tags": ["a"], "idempotencyKey": "k" * 64, "idempotencyKeyTTL": "90m"},
        {"timeout": "2040-01-01T00:00:00+00:00"},
    ]


async def test_token_made_inside_a_run_names_its_call(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /api/v1/waitpoints/tokens", MADE)

    await wait.create_token()

    assert api.seen[0].json["callKey"] == "create-token:*#1"


async def test_any_value_completes_a_token(api: FakeApi) -> None:
    done = Reply(200, {"success": True})
    api.prepare(f"POST /api/v1/waitpoints/tokens/{TOKEN}/complete", done, done)

    await wait.complete_token(TOKEN, {"a": [1]})
    wait.sync.complete_token(TOKEN)

    assert [seen.json for seen in api.seen] == [{"data": {"a": [1]}}, {"data": None}]


async def test_pages_of_tokens_follow_each_other(api: FakeApi) -> None:
    shown = {
        "id": TOKEN,
        "status": "COMPLETED",
        "createdAt": "2030-01-01T00:00:00Z",
        "tags": ["a"],
        "url": "http://x",
        "output": "[1]",
        "outputType": "application/json",
    }
    api.prepare(
        "GET /api/v1/waitpoints/tokens",
        Reply(200, {"data": [shown], "pagination": {"next": TOKEN}}),
        Reply(200, {"data": [shown], "pagination": {}}),
    )

    found = [token async for token in wait.list_tokens(status="COMPLETED", tags=["a", "b"])]

    assert [token.output for token in found] == [[1], [1]]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: wait.for_("soon"), "wait.for_='soon' is not a length of time"),
        (lambda: wait.for_(-1), "wait.for_=-1"),
        (lambda: wait.for_("1h", minutes=1), "a duration or keywords, not both"),
        (lambda: wait.for_(minutes="5"), "cannot add up its keywords"),  # type: ignore[arg-type]
        (lambda: wait.until(datetime.datetime(2040, 1, 1)), "is no moment; expected an aware datetime"),  # noqa: DTZ001
        (lambda: wait.until("tomorrow"), "is no moment; expected an aware datetime"),
        (lambda: wait.create_token(timeout="soon"), "timeout='soon' is not accepted"),
        (lambda: wait.create_token(tags=["t"] * 11), "at most 10"),
    ],
)
async def test_nonsense_is_refused_before_it_is_sent(api: FakeApi, inside: FakeRun, call: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        await call()

    assert api.seen == []


def test_waits_outside_of_runs_say_what_to_do(api: FakeApi) -> None:
    for call in (lambda: wait.for_(1), lambda: wait.until("2040-01-01"), lambda: wait.for_token(TOKEN)):
        with pytest.raises(OutsideTaskError, match="inside a run, and no run is executing here"):
            call()
    assert api.seen == []


async def test_what_is_no_token_is_named(api: FakeApi) -> None:
    with pytest.raises(TypeError, match="7 is no token; expected what"):
        await wait.complete_token(7)  # type: ignore[arg-type]
