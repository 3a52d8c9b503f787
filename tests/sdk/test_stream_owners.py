"""Streams of a run and of those above it: whose one may write to, and what."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oncue import PayloadTooLarge, ServerError, streams
from tests.sdk.conftest import FakeApi, FakeRun, Reply, SetClock

TAKEN = Reply(200, {"ok": True})


@pytest.mark.parametrize("function", [streams.pipe, streams.append, streams.sync.pipe, streams.sync.append])
def test_unknown_owner_of_a_stream_is_refused(inside: FakeRun, function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"target='brother' is not accepted; expected 'self', 'parent' or 'root'"):
        function("words", [1], target="brother")


@pytest.mark.parametrize("function", [streams.pipe, streams.sync.pipe])
@pytest.mark.parametrize("value", ["hello", b"bytes", {"a": 1}, 5, None])
def test_one_value_is_not_taken_for_several(inside: FakeRun, function: Callable[..., Any], value: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"values is one value \({type(value).__name__}\); expected several, as a list"
    ):
        function("words", value)


@pytest.mark.parametrize("key", ["", ".", "..", "a\0", "x" * 257, 7])
def test_key_that_could_not_be_read_is_refused(inside: FakeRun, key: Any) -> None:
    with pytest.raises(ValueError, match=r"is not accepted; expected 1 to 256 characters, no NUL, not \. or \.\."):
        streams.sync.append(key, 1)


@pytest.mark.parametrize("function", [streams.append, streams.sync.append])
def test_appended_value_has_its_limit(api: FakeApi, inside: FakeRun, function: Callable[..., Any]) -> None:
    with pytest.raises(PayloadTooLarge, match="a value of the stream 'words' has 600,002 bytes as JSON, and 524,288"):
        done = function("words", "x" * 600_000)
        asyncio.run(done)
    assert api.seen == []


def test_sent_value_has_its_limit(api: FakeApi) -> None:
    with pytest.raises(PayloadTooLarge, match="a value for the input stream 'chat' has 2,000,002 bytes as JSON"):
        streams.sync.send("run_1", "chat", "x" * 2_000_000)
    assert api.seen == []


def test_value_waits_for_a_server_that_is_away(api: FakeApi, clock: SetClock, inside: FakeRun) -> None:
    away = [Reply(503, {"error": "stopping", "code": "unavailable"})] * 30
    api.prepare("POST /realtime/v1/streams/", *away, TAKEN)

    streams.sync.append("words", 1)

    assert len(api.seen) == 31
    assert max(clock.slept) == 5


def test_server_that_fails_over_a_value_is_given_up(api: FakeApi, clock: SetClock, inside: FakeRun) -> None:
    api.prepare("POST /realtime/v1/streams/", *[Reply(500, {"error": "broken", "code": "server_error"})] * 6)

    with pytest.raises(ServerError, match="broken"):
        streams.sync.append("words", 1)
    assert len(api.seen) == 5


def test_values_of_a_list_are_sent_together(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /realtime/v1/streams/", *[TAKEN] * 3)

    assert streams.sync.pipe("words", list(range(2_500))) == 2_500

    assert [len(seen.lines) for seen in api.seen] == [1_000, 1_000, 500]


def test_values_that_are_made_are_sent_one_by_one(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /realtime/v1/streams/", *[TAKEN] * 3)
    sent_before = []

    def made() -> Iterator[int]:
        for number in range(3):
            yield number
            sent_before.append(len(api.seen))

    assert streams.sync.pipe("words", made()) == 3
    assert sent_before == [1, 2, 3]


def test_large_values_of_a_list_are_sent_in_small_requests(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /realtime/v1/streams/", *[TAKEN] * 4)

    assert streams.sync.pipe("words", ["x" * 300_000] * 7) == 7

    assert [len(seen.lines) for seen in api.seen] == [2, 2, 2, 1]
    assert [seen.headers["x-resume-from-chunk"] for seen in api.seen] == ["0", "2", "4", "6"]


class Slow:
    """Knows how many values there will be, and makes each when it is asked for."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.sent_before: list[int] = []

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        for number in range(3):
            self.sent_before.append(len(self.api.seen))
            yield number


def test_length_alone_does_not_make_values_wait(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /realtime/v1/streams/", *[TAKEN] * 3)
    values = Slow(api)

    streams.sync.pipe("words", values)

    assert values.sent_before == [0, 1, 2]
