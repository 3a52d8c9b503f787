"""What the server would refuse is refused before anything is sent, and the message says what is accepted."""

import datetime
from typing import Any

import msgspec
import pytest

from oncue.engine import requests
from oncue.protocol.triggers import TriggerOptions, TriggerRequest
from oncue.sdk import option_values
from oncue.sdk.options import OPTIONS

EAST = datetime.timezone(datetime.timedelta(hours=14))
WEST = datetime.timezone(-datetime.timedelta(hours=12))

TEXTS = [
    *("", " ", "a", "a ", " a", "a b", "a,b", "a:b", "-a", ".a", "_a", "ä", "a\n", "\na", "a\0b", "\0", "\ud800", "☃"),
    *("x" * length for length in (64, 65, 128, 129, 256, 257, 512, 513, 2_048, 2_049)),
    *("é" * length for length in (64, 128, 256, 257)),
    *("eu-1", "eu-1\n", "micro", "Micro", "micro\n", "task/x", "q\n"),
    *("20300131.1", "20300131.1\n", "20300131.", "2030.1", "2030013\u0661.1", "20300131." + "1" * 60, "latest"),
    *("0s", "0d", "1s", "1h30m", "1.5h", "-1s", "521w", "522w", "1h\n", "1 h", "soon"),
    *("2030-01-01", "2030-01-01T00:00:00Z", "20300101", "2030-W01-1", "2030-01-01T00:00:00\n", "2030-13-01"),
    *("0001-01-01T00:00:00+05:00", "9000-12-31T23:59:59Z", "9001-01-01", "9999-12-31T23:59:59-05:00"),
]
NUMBERS = [
    *(0, 1, -1, 0.0, 0.5, -0.5, 5, 250, 251, 2_147_483, 2_147_484, 2**31 - 1, 2**31, 2**63, 2**64, 10**600, -(10**600)),
    *(1e9, 1e12, float("nan"), float("inf"), True, False),
]
MOMENTS = [
    datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
    datetime.datetime(2030, 1, 1),  # noqa: DTZ001 - has no zone on purpose
    datetime.datetime(9000, 12, 31, 12, tzinfo=WEST),
    datetime.datetime(9000, 12, 31, 11, 59, tzinfo=WEST),
    datetime.datetime.min.replace(tzinfo=EAST),
    datetime.datetime.max.replace(tzinfo=WEST),
    *(datetime.timedelta(microseconds=length) for length in (-1, 0, 1, 999_999)),
    *(datetime.timedelta(days=length) for length in (-1, 3650, 3651, 999_999_999)),
]
COLLECTIONS: list[Any] = [
    *([], ["a"], ["a", "a"], ["a", ""], ["a\0"], ["\ud800"], ["x" * 128], ["x" * 129], ["x" * 2_047, "y"]),
    [str(number) for number in range(10)],
    [str(number) for number in range(11)],
    *(
        {},
        {"a": 1},
        {"a": "\0"},
        {"\0": 1},
        {"a": float("nan")},
        {"a": 2**70},
        {"a": "x" * 262_136},
        {"a": "x" * 262_137},
    ),
]
DEBOUNCES = [
    {"key": key, "delay": delay, "mode": mode, "max_delay": longest}
    for key in ("k", "k\0", "\ud800", "", "x" * 512, "x" * 513)
    for delay in ("5s", "0s", 0, 0.2, 1.2, datetime.timedelta(0))
    for mode in (None, "leading", "both")
    for longest in (None, "5s", "6s", 1.5, 0)
]
QUEUES = [
    {"name": name, "concurrency_limit": limit}
    for name in ("q", "q\n", "a b", "x" * 128, "x" * 129)
    for limit in (None, 0, -1, 2**31 - 1, 2**31)
]
VALUES = [*TEXTS, *NUMBERS, *MOMENTS, *COLLECTIONS, *DEBOUNCES, *QUEUES]


def sent(option: str, value: Any) -> TriggerRequest | None:
    """Return what arrives at the server, None where the caller's mistake stays with the caller."""
    fields, told = None, ""
    try:
        fields = option_values.read({option: value})
    except ValueError as error:
        told = str(error)
    if fields is None:
        assert any(name in told for name in (option.partition("_")[0], "concurrency_limit"))
        assert "expected" in told or "as JSON" in told
        return None
    wire = msgspec.json.encode(TriggerRequest(msgspec.Raw(b"1"), TriggerOptions(**fields)))
    return msgspec.json.decode(wire, type=TriggerRequest)


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_whatever_leaves_the_caller_is_accepted_by_the_server(option: str) -> None:
    arrived = [request for value in VALUES if (request := sent(option, value)) is not None]

    assert 0 < len(arrived) < len(VALUES)
    for request in arrived:
        requests.plan("t", request)


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("region", "", "1 to 64 letters, digits, or any of _ . -"),
        ("region", "-eu", "1 to 64 letters, digits, or any of _ . -"),
        ("region", "x" * 65, "1 to 64 letters, digits, or any of _ . -"),
        ("region", "eu 1", "1 to 64 letters, digits, or any of _ . -"),
        ("region", "eu-1\n", "1 to 64 letters, digits, or any of _ . -"),
        ("region", 1, "1 to 64 letters, digits, or any of _ . -"),
        ("version", "latest", 'a day and a number: "20300131.1"'),
        ("version", "20300131", 'a day and a number: "20300131.1"'),
        ("version", "2030013\u0661.1", 'a day and a number: "20300131.1"'),
        ("version", "20300131." + "1" * 60, 'a day and a number: "20300131.1"'),
        ("version", 20300131.1, 'a day and a number: "20300131.1"'),
        ("machine", "", "one of micro, small-1x, small-2x, medium-1x"),
        ("machine", "Micro", "one of micro, small-1x, small-2x, medium-1x"),
        ("machine", "micro ", "one of micro, small-1x, small-2x, medium-1x"),
        ("machine", ("micro",), "one of micro, small-1x, small-2x, medium-1x"),
        ("concurrency_key", "a\0b", "an int or a string of 1 to 512 bytes, no NUL"),
        ("concurrency_key", "é" * 257, "an int or a string of 1 to 512 bytes, no NUL"),
        ("debounce", {"key": "k", "delay": 0}, "more than nothing"),
        ("idempotency_key_ttl", 0, "more than nothing"),
        ("queue", {"name": "q", "concurrency_limit": 2**31}, "0 to 2,147,483,647, or None"),
        ("delay", "9999-12-31T23:59:59-05:00", "a duration such as"),
    ],
)
def test_refusal_shows_the_form_that_is_accepted(option: str, value: Any, accepted: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        option_values.read({option: value})

    assert accepted in str(caught.value)


@pytest.mark.parametrize("key", [10**511 - 1, -(10**511 - 1), "é" * 256, "a ", "\n", "*", "a,b:c'\"%\U0001f600"])
def test_concurrency_keys_are_sent_as_they_are(key: str | int) -> None:
    request = sent("concurrency_key", key)

    assert request is not None
    assert requests.plan("t", request).concurrency_key == str(key)
