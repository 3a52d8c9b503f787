"""Replaying from Python."""

import datetime
from hashlib import sha256
from typing import Any

import pytest

from oncue import PayloadValidationError, runs
from oncue.sdk.options import OPTIONS, REPLAY_OPTIONS

from .conftest import FakeApi, Reply

MADE = Reply(200, {"id": "run_2", "taskIdentifier": "child", "isCached": False})


async def test_replay_returns_a_handle_of_the_new_run(api: FakeApi) -> None:
    api.prepare("POST /api/v1/runs/run_1/replay", MADE, MADE)

    handle = await runs.replay("run_1")
    blocking = runs.sync.replay(handle.id.replace("2", "1"))

    assert handle == blocking
    assert (handle.id, handle.task_identifier, handle.is_cached) == ("run_2", "child", False)
    assert [seen.json for seen in api.seen] == [{}, {}]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({"payload": None}, {"payload": None}),
        ({"payload": {"at": datetime.date(2030, 1, 1)}}, {"payload": {"at": "2030-01-01"}}),
        ({"delay": datetime.timedelta(minutes=90)}, {"delay": "1h30m"}),
        ({"version": "20300101.1"}, {"version": "20300101.1"}),
        ({"queue": "q"}, {"queue": {"name": "q"}}),
        ({"tags": "x", "ttl": 60, "max_attempts": None}, {"tags": ["x"], "ttl": 60}),
        (
            {"idempotency_key": "k"},
            {
                "idempotencyKey": sha256(b"k").hexdigest(),
                "idempotencyKeyOptions": {"key": "k", "scope": "run"},
            },
        ),
    ],
)
async def test_what_is_said_anew_is_sent(api: FakeApi, said: dict[str, Any], sent: dict[str, Any]) -> None:
    api.prepare("POST /api/v1/runs/run_1/replay", MADE)

    await runs.replay("run_1", **said)

    assert [seen.json for seen in api.seen] == [sent]


def test_replay_takes_every_option_but_debounce() -> None:
    assert set(REPLAY_OPTIONS) == set(OPTIONS) - {"debounce"}


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"debounce": {"key": "k", "delay": "1s"}}, TypeError, "unknown option 'debounce'"),
        ({"machin": "micro"}, TypeError, "did you mean 'machine'"),
        ({"machine": "huge"}, ValueError, "machine='huge' is not accepted"),
        ({"payload": object()}, PayloadValidationError, "the payload for a replay of run_1 cannot be written as JSON"),
    ],
)
def test_nonsense_is_refused_before_any_request(
    api: FakeApi, said: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        runs.sync.replay("run_1", **said)

    assert api.seen == []
