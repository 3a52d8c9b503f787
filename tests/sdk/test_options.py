"""Which values an option takes, and how they are written for the wire."""

import datetime
from typing import Any

import pytest

from oncue import Debounce, queue
from oncue.protocol.triggers import DebounceOption, QueueOption, TriggerOptions
from oncue.sdk import option_values
from oncue.sdk.options import OPTIONS

HOUR = datetime.timedelta(hours=1)
MOMENT = datetime.datetime(2024, 12, 1, 8, 30, tzinfo=datetime.UTC)


class Opaque:
    """Has no JSON form, and a name that is the same in every test process."""

    def __repr__(self) -> str:
        return "Opaque()"


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("delay", "1h", "1h"),
    ("delay", "2h30m", "2h30m"),
    ("delay", HOUR, "1h"),
    ("delay", datetime.timedelta(milliseconds=1), "1s"),
    ("delay", MOMENT, "2024-12-01T08:30:00+00:00"),
    ("delay", "2024-12-01T00:00:00", "2024-12-01T00:00:00"),
    ("delay", "2024-12-01T00:00:00Z", "2024-12-01T00:00:00Z"),
    ("ttl", "1h", "1h"),
    ("ttl", 3600, 3600),
    ("ttl", 0, 0),
    ("ttl", HOUR, 3600),
    ("ttl", 0.5, 1),
    ("idempotency_key", "a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("idempotency_key", ["user", "123"], "fcdec6df4d44dbc637c7c5b58efface52a7f8a88535423430255be0bb89bedd8"),
    ("idempotency_key", "f" * 64, "f" * 64),
    ("idempotency_key_ttl", "90m", "90m"),
    ("idempotency_key_ttl", "1h30m", "90m"),
    ("idempotency_key_ttl", HOUR, "1h"),
    ("idempotency_key_ttl", "2w", "14d"),
    ("idempotency_key_ttl", 61, "61s"),
    ("debounce", Debounce("k", "5s"), DebounceOption("k", "5s")),
    ("debounce", {"key": "k", "delay": "5s"}, DebounceOption("k", "5s")),
    (
        "debounce",
        {"key": "k", "delay": 10, "mode": "trailing", "max_delay": "5m"},
        DebounceOption("k", "10s", mode="trailing", max_delay="5m"),
    ),
    ("queue", "q", QueueOption("q")),
    ("queue", queue("q", concurrency_limit=10), QueueOption("q", concurrency_limit=10)),
    ("queue", {"name": "q", "concurrency_limit": 0}, QueueOption("q", concurrency_limit=0)),
    ("concurrency_key", "user-1", "user-1"),
    ("concurrency_key", 7, 7),
    ("max_attempts", 1, 1),
    ("max_attempts", 250, 250),
    ("max_duration", "5m", 300.0),
    ("max_duration", 7.5, 7.5),
    ("machine", "large-1x", "large-1x"),
    ("region", "eu-central-1", "eu-central-1"),
    ("priority", 0, 0),
    ("priority", 0.5, 0.5),
    ("tags", "a", ["a"]),
    ("tags", ("a", "b"), ["a", "b"]),
    ("tags", [], []),
    ("metadata", {}, b"{}"),
    ("metadata", {"a": MOMENT}, b'{"a":"2024-12-01T08:30:00Z"}'),
    ("version", "20240101.1", "20240101.1"),
]

REFUSED: list[tuple[str, Any]] = [
    ("delay", "soon"),
    ("delay", ""),
    ("delay", 5),
    ("delay", -HOUR),
    ("delay", datetime.datetime(2024, 12, 1)),  # noqa: DTZ001 - refused for it
    ("ttl", -1),
    ("ttl", True),
    ("ttl", "1 h"),
    ("idempotency_key", ""),
    ("idempotency_key", []),
    ("idempotency_key", ["a", 1]),
    ("idempotency_key", 5),
    ("idempotency_key", "x" * 2049),
    ("idempotency_key_ttl", "soon"),
    ("debounce", "k"),
    ("debounce", {"key": "k"}),
    ("debounce", {"key": "k", "delay": "5s", "maxDelay": "5m"}),
    ("debounce", {"key": "", "delay": "5s"}),
    ("debounce", {"key": "k", "delay": "soon"}),
    ("debounce", {"key": "k", "delay": "5s", "mode": "last"}),
    ("debounce", {"key": "k", "delay": "5s", "max_delay": "5s"}),
    ("queue", ""),
    ("queue", "x" * 129),
    ("queue", 3),
    ("queue", {"name": "q", "concurrencyLimit": 3}),
    ("queue", {"concurrency_limit": 3}),
    ("queue", {"name": "q", "concurrency_limit": -1}),
    ("queue", {"name": "q", "concurrency_limit": True}),
    ("queue", {"name": "q", "concurrency_limit": "3"}),
    ("concurrency_key", ""),
    ("concurrency_key", True),
    ("concurrency_key", 1.5),
    ("concurrency_key", "ä" * 257),
    ("max_attempts", 0),
    ("max_attempts", 251),
    ("max_attempts", True),
    ("max_attempts", 2.0),
    ("max_duration", 0),
    ("max_duration", "long"),
    ("machine", "huge"),
    ("machine", ["micro"]),
    ("region", " "),
    ("region", 3),
    ("priority", -1),
    ("priority", 2_147_484),
    ("priority", float("nan")),
    ("priority", "high"),
    ("tags", ""),
    ("tags", ["a", ""]),
    ("tags", ["a", 1]),
    ("tags", ["x" * 129]),
    ("tags", [str(number) for number in range(11)]),
    ("tags", 3),
    ("metadata", []),
    ("metadata", "a"),
    ("metadata", {"a": Opaque()}),
    ("metadata", {"a": "x" * 300_000}),
    ("version", ""),
]


@pytest.mark.parametrize(("option", "given", "wire"), ACCEPTED, ids=str)
def test_accepted_value_is_written_for_the_wire(option: str, given: Any, wire: Any) -> None:
    fields = option_values.read({option: given})

    (name, value) = next(iter(fields.items()))
    assert (bytes(value) if option == "metadata" else value) == wire
    assert TriggerOptions(**fields) != TriggerOptions() or not wire
    assert name == ("lock_to_version" if option == "version" else option)


@pytest.mark.parametrize(("option", "given"), REFUSED, ids=lambda value: str(value)[:40])
def test_senseless_value_is_refused_by_name(option: str, given: Any) -> None:
    with pytest.raises(ValueError, match=f"^({option.partition('_')[0]}|concurrency_limit)") as caught:
        option_values.read({option: given})

    assert "expected" in str(caught.value) or "cannot be written" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_every_option_is_in_the_table() -> None:
    assert {option for option, _, _ in ACCEPTED} == {option for option, _ in REFUSED} == set(OPTIONS)


def test_none_is_as_good_as_absent() -> None:
    assert option_values.read(dict.fromkeys(OPTIONS)) == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dealy", "'delay'"),
        ("concurrencyKey", "'concurrency_key'"),
        ("maxAttempts", "'max_attempts'"),
        ("zzz", "delay, ttl"),
    ],
)
def test_unknown_option_names_close_ones(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=f"unknown option '{name}'.*{hint}"):
        option_values.read({name: None})
