"""The table of options: each with values, and what a run that was triggered with one must then be like.

Read by the tests and by the worker's program alike, so that a value need not travel between them.
"""

import datetime
import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from oncue import Debounce, idempotency_keys, queue

HOUR: Final = datetime.timedelta(hours=1)
FAR: Final = datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)
LIMITED: Final = queue("matrix-limited", concurrency_limit=3)
DAY_S: Final = 86_400.0


class Cell(NamedTuple):
    """Where a row of the table is tried."""

    name: str
    """Nobody else has it: it serves as key where a key is wanted."""
    parent: str | None = None
    """The run that calls."""
    is_of_batch: bool = False
    """The option is said to the batch and not to its item."""
    is_raw: bool = False
    """It is sent as JSON, without the SDK."""


Known: TypeAlias = dict[str, Any]
Value: TypeAlias = Callable[[Cell], Known]


class Row(NamedTuple):
    """Values of an option, and their effect."""

    option: str
    name: str
    given: Value
    """Keywords in Python."""
    wire: Value | None
    """Fields of ``options`` over HTTP; None where JSON has no such value."""
    effect: Value
    """What is known of the run: ``shown_…`` by the API, the rest by the database."""
    changes: bool = True
    """A run without the option is not like that."""

    def __str__(self) -> str:
        return f"{self.option}: {self.name}"


class Refused(NamedTuple):
    """A value that must be refused."""

    option: str
    given: Any
    says: str
    """What the message says is accepted, in Python."""
    wire: Known | None
    """None: over HTTP no value of the right type is refused."""
    wire_says: str

    def __str__(self) -> str:
        return f"{self.option}={self.given!r:.40}"


def _same(**known: Any) -> Value:
    return lambda _: known


def _row(option: str, value: Any, wire: Any, field: str = "", *, changes: bool = True, **effect: Any) -> Row:
    """A row whose value is the same everywhere."""
    name = field or option
    return Row(
        option,
        repr(value),
        _same(**{option: value}),
        None if wire is None else _same(**{name: wire}),
        _same(**effect),
        changes,
    )


def sha256(*parts: str | None) -> str:
    return hashlib.sha256("-".join(part for part in parts if part is not None).encode()).hexdigest()


def _hash(cell: Cell, *parts: str) -> str:
    """The key as it arrives: of the parts, the item in a batch that has the key, and the run that calls."""
    return sha256(*parts, "0" if cell.is_of_batch else None, cell.parent)


def _global_hash(cell: Cell) -> str:
    return _hash(cell, sha256(cell.name)) if cell.is_of_batch else sha256(cell.name)


def _key_life(life: Any, wire: str | None, seconds: float) -> Row:
    return Row(
        "idempotency_key_ttl",
        repr(life),
        lambda cell: {"idempotency_key": cell.name, "idempotency_key_ttl": life},
        None if wire is None else lambda cell: {"idempotencyKey": cell.name, "idempotencyKeyTTL": wire},
        lambda _: {"key_life_s": seconds},
    )


_KEYS: Final = [
    Row(
        "idempotency_key",
        "a text",
        lambda cell: {"idempotency_key": cell.name},
        lambda cell: {"idempotencyKey": cell.name},
        lambda cell: {
            "idempotency_key": cell.name if cell.is_raw else _hash(cell, cell.name),
            "key_life_s": 30 * DAY_S,
            "shown_idempotencyKey": f"{cell.name}-0" if cell.is_of_batch else cell.name,
        },
    ),
    Row(
        "idempotency_key",
        "parts",
        lambda cell: {"idempotency_key": ["order", cell.name]},
        None,
        lambda cell: {"idempotency_key": _hash(cell, "order", cell.name)},
    ),
    Row(
        "idempotency_key",
        "a made one",
        lambda cell: {"idempotency_key": idempotency_keys.create(cell.name, scope="global")},
        None,
        lambda cell: {"idempotency_key": _global_hash(cell)},
    ),
    _key_life("2h", "2h", 7200.0),
    _key_life(90, None, 90.0),
    _key_life(HOUR, None, 3600.0),
    Row(
        "debounce",
        "leading",
        lambda cell: {"debounce": Debounce(cell.name, "1h")},
        lambda cell: {"debounce": {"key": cell.name, "delay": "1h"}},
        lambda cell: {"debounce_key": cell.name, "debounced_for_s": None, "delay_s": 3600.0},
    ),
    Row(
        "debounce",
        "trailing, at most",
        lambda cell: {"debounce": {"key": cell.name, "delay": HOUR, "mode": "trailing", "max_delay": "2h"}},
        lambda cell: {"debounce": {"key": cell.name, "delay": "1h", "mode": "trailing", "maxDelay": "2h"}},
        lambda cell: {"debounce_key": cell.name, "debounced_for_s": 7200.0, "shown_status": "DELAYED"},
    ),
]

_FAR: Final[Known] = {"delayed_until": FAR, "shown_delayedUntil": "2040-01-01T00:00:00Z", "shown_status": "DELAYED"}

ROWS: Final = [
    _row("delay", "88s", "88s", delay_s=88.0, shown_status="DELAYED"),
    _row("delay", "2h30m", "2h30m", delay_s=9000.0),
    _row("delay", HOUR, None, delay_s=3600.0),
    _row("delay", FAR, FAR.isoformat(), **_FAR),
    _row("delay", "2040-01-01T00:00:00Z", "2040-01-01T00:00:00Z", **_FAR),
    _row("delay", "2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z", shown_status="QUEUED", changes=False),
    _row("ttl", "1h", "1h", ttl_s=3600.0, shown_ttl="1h"),
    _row("ttl", 90, 90, ttl_s=90.0),
    _row("ttl", datetime.timedelta(minutes=5), None, ttl_s=300.0),
    _row("ttl", 0, 0, ttl_s=None),
    *_KEYS,
    _row("queue", "matrix-by-name", "matrix-by-name", queue="matrix-by-name", shown_queue="matrix-by-name"),
    _row("queue", LIMITED, {"name": {"name": "matrix-limited", "concurrencyLimit": 3}}, queue_limit=3),
    _row(
        "queue",
        {"name": "matrix-own", "concurrency_limit": 4},
        {"name": "matrix-own", "concurrencyLimit": 4},
        queue="matrix-own",
        queue_limit=4,
    ),
    _row("concurrency_key", "a, ☃", "a, ☃", "concurrencyKey", concurrency_key="a, ☃", shown_concurrencyKey="a, ☃"),
    _row("concurrency_key", 42, 42, "concurrencyKey", concurrency_key="42"),
    _row("max_attempts", 7, 7, "maxAttempts", max_attempts=7),
    _row("max_duration", "7m", None, max_duration_s=420.0),
    _row("max_duration", 90, 90, "maxDuration", max_duration_s=90.0),
    _row("max_duration", HOUR, None, max_duration_s=3600.0),
    _row("max_duration", 1, 1, "maxDuration", max_duration_s=5.0),
    _row("machine", "large-1x", "large-1x", machine="large-1x", shown_machine="large-1x"),
    _row("region", "eu-central-1", "eu-central-1", region="eu-central-1", shown_region="eu-central-1"),
    _row("priority", 60, 60, priority=60_000, shown_priority=60.0),
    _row("priority", 1.6, 1.6, priority=1_600, shown_priority=1.6),
    _row("tags", "one", "one", tags=["one"], shown_tags=["one"]),
    _row("tags", ["b", "a", "b"], ["b", "a", "b"], tags=["a", "b"]),
    _row("metadata", {"a": {"b": [1, None]}}, {"a": {"b": [1, None]}}, shown_metadata={"a": {"b": [1, None]}}),
    _row("version", "20300131.1", "20300131.1", "lockToVersion", version="20300131.1", shown_version="20300131.1"),
]

REFUSED: Final = [
    Refused("delay", "soon", '"1h" or "2h30m"', {"delay": "soon"}, 'expected for instance "1h"'),
    Refused("delay", datetime.datetime(2040, 1, 1), "an aware datetime", {"delay": "1 hour"}, "a duration nor a date"),  # noqa: DTZ001
    Refused(
        "delay",
        datetime.timedelta.max,
        "a duration such as",
        {"delay": "9999-12-31T23:59:59.999999Z"},
        "outside of the years 1 to 9000",
    ),
    Refused("ttl", -1, "ttl", {"ttl": -1}, "0 switches it off"),
    Refused("ttl", "forever", '"1h"', {"ttl": "forever"}, 'expected for instance "1h"'),
    Refused("idempotency_key", "", "1 to 2,048 characters", {"idempotencyKey": ""}, "expected 1 to 2,048"),
    Refused(
        "idempotency_key_ttl",
        "1y",
        '"1h"',
        {"idempotencyKey": "k", "idempotencyKeyTTL": "1y"},
        "not a length of time above zero",
    ),
    Refused("debounce", {"key": "k"}, "Debounce(key, delay", {"debounce": {"key": "", "delay": "1h"}}, "expected 1 to"),
    Refused(
        "debounce",
        Debounce("k", "1h", max_delay="1m"),
        "longer than its delay",
        {"debounce": {"key": "k", "delay": "1h", "maxDelay": "1m"}},
        "expected more than the delay",
    ),
    Refused("queue", "white space", "letters, digits", {"queue": {"name": "white space"}}, "letters, digits"),
    Refused("concurrency_key", "k" * 513, "1 to 512 bytes", {"concurrencyKey": "k" * 513}, "expected 1 to 512"),
    Refused("max_attempts", 251, "1 to 250", {"maxAttempts": 251}, "expected 1 to 250"),
    Refused("max_duration", 0, "more than nothing", {"maxDuration": 0}, "expected seconds"),
    Refused("machine", "huge", "small-1x", {"machine": "huge"}, "small-1x"),
    Refused("region", "eu central", "1 to 64 letters, digits", {"region": ""}, "letters, digits"),
    Refused("priority", -1, "seconds of head start", None, ""),
    Refused("tags", ["t"] * 11, "at most 10", {"tags": [f"t{n}" for n in range(11)]}, "at most 10"),
    Refused("metadata", ["a"], "a dict", {"metadata": ["a"]}, "expected a JSON object"),
    Refused("version", "latest", "a day and a number", {"lockToVersion": "one"}, "a day and a number"),
]
