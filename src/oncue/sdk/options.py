"""Options: what a caller may say about a run, as keywords of every trigger function and every batch item.

The vocabulary only; how each value is checked and written for the wire is in ``option_values.py``.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

from oncue.protocol.durations import Duration
from oncue.protocol.machines import Machine
from oncue.sdk.queue import Queue


@dataclass(frozen=True, slots=True)
class Debounce:
    """Consolidate calls that carry the same key into one delayed run.

    Attributes:
        key: Calls with the same task and key fall together.
        delay: How long nothing must come before the run starts.
        mode: ``leading`` keeps the first payload, ``trailing`` the last.
        max_delay: Start no later than this after the first call.

    Example::

        await summarize.trigger(chat, debounce=Debounce("chat-123", "10s", max_delay="5m"))
    """

    key: str
    delay: Duration
    mode: Literal["leading", "trailing"] | None = None
    max_delay: Duration | None = None


class QueueDict(TypedDict, total=False):
    """A queue, written as a dict; ``name`` is needed."""

    name: str
    concurrency_limit: int | None


class DebounceDict(TypedDict, total=False):
    """``Debounce``, written as a dict; ``key`` and ``delay`` are needed."""

    key: str
    delay: Duration
    mode: Literal["leading", "trailing"] | None
    max_delay: Duration | None


class TriggerOptions(TypedDict, total=False):
    """Options of a run. One that is absent or None leaves the task's or the environment's own setting."""

    delay: str | datetime.timedelta | datetime.datetime | None
    """Start later: ``"1h"``, a timedelta, an aware datetime or an ISO date. A moment that has passed means now."""
    ttl: Duration | None
    """Give up unless the run has started within this time of being due; numbers are seconds."""
    idempotency_key: str | Sequence[str] | None
    """Runs of the task that carry the same key are one run; a sequence is joined with ``-``."""
    idempotency_key_ttl: Duration | None
    """How long the key counts; 30 days unless said."""
    debounce: Debounce | DebounceDict | None
    queue: str | Queue | QueueDict | None
    concurrency_key: str | int | None
    """A queue of its own for each value, for instance for each customer."""
    max_attempts: int | None
    """Attempts in all, 1 to 250; 1 means no retry."""
    max_duration: Duration | None
    """Longest compute time of an attempt, waits left out; numbers are seconds."""
    machine: Machine | None
    region: str | None
    priority: float | None
    """Seconds of head start over runs without it, 0 or more."""
    tags: str | Sequence[str] | None
    """At most 10, each at most 128 characters."""
    metadata: Mapping[str, Any] | None
    """A JSON object of at most 256 KB."""
    version: str | None
    """Run only on workers of this version."""


class ReplayOptions(TypedDict, total=False):
    """What a replay is to have otherwise; see ``TriggerOptions``. One that is absent or None is not changed."""

    delay: str | datetime.timedelta | datetime.datetime | None
    ttl: Duration | None
    idempotency_key: str | Sequence[str] | None
    idempotency_key_ttl: Duration | None
    queue: str | Queue | QueueDict | None
    concurrency_key: str | int | None
    max_attempts: int | None
    max_duration: Duration | None
    machine: Machine | None
    region: str | None
    priority: float | None
    tags: str | Sequence[str] | None
    metadata: Mapping[str, Any] | None
    version: str | None


REPLAY_OPTIONS: Final[tuple[str, ...]] = tuple(ReplayOptions.__annotations__)
"""Names of the options of a replay: all but ``debounce``, as a replay always makes a run."""

OPTIONS: Final[tuple[str, ...]] = tuple(TriggerOptions.__annotations__)
"""Names of all options."""


def unknown(name: str, accepted: Sequence[str], what: str = "option") -> TypeError:
    """Return the error for a name that nobody knows, with those that come close."""
    import difflib

    close = difflib.get_close_matches(name, accepted, n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"expected one of {', '.join(accepted)}"
    return TypeError(f"unknown {what} {name!r}; {hint}")
