"""Option values: what a caller gave, checked, and as the wire has it.

Every refusal names the option, what was given and what is accepted. Nothing is dropped: an option that the server does
not honour is refused by the server.

Life of a run, this module's part::

    child.trigger(payload, delay="1h") -> option_values.read -> protocol.TriggerOptions -> TriggerRequest
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from oncue.protocol import codec, durations, limits, names
from oncue.protocol.machines import MACHINES
from oncue.protocol.triggers import DebounceOption, IdempotencyKeyOptions, QueueOption
from oncue.sdk import idempotency, queue
from oncue.sdk.idempotency import IdempotencyKey
from oncue.sdk.options import OPTIONS, Debounce, unknown

T = TypeVar("T")

_SECOND: Final = datetime.timedelta(seconds=1)
_LARGEST_KEY: Final = 10 ** (limits.MAX_CONCURRENCY_KEY_BYTES - 1)
"""A number below it fits, with its sign."""


def read(options: Mapping[str, object]) -> dict[str, Any]:
    """Check options and write them as fields of ``protocol.triggers.TriggerOptions``.

    Args:
        options: By the names of ``options.TriggerOptions``; None is as good as absent.

    Raises:
        TypeError: There is no such option; names those that come close.
        ValueError: A value makes no sense; names the option, what was given and what is accepted.
    """
    fields: dict[str, Any] = {}
    for name, value in options.items():
        reader = _READERS.get(name)
        if reader is None:
            raise unknown(name, OPTIONS)
        if value is not None:
            fields["lock_to_version" if name == "version" else name] = reader(value)
    key = fields.get("idempotency_key")
    if isinstance(key, IdempotencyKey):
        fields["idempotency_key_options"] = IdempotencyKeyOptions(key.key, key.scope)
        fields["idempotency_key"] = str(key)
    return fields


def read_machine(value: object) -> str:
    """Check the name of a machine preset."""
    if value not in MACHINES or not isinstance(value, str):
        raise _refused("machine", value, f"one of {', '.join(MACHINES)}")
    return value


def _refused(option: str, value: object, accepted: str) -> ValueError:
    return ValueError(f"{option}={_quoted(value)} is not accepted; expected {accepted}")


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - enough to recognise it by


def read_delay(value: object, option: str = "delay") -> str:
    """Check a delay: a duration, or a moment."""
    match value:
        case datetime.datetime() if value.tzinfo is not None and _is_reckonable(value):
            return value.isoformat()
        case datetime.timedelta() if datetime.timedelta() <= value <= durations.LONGEST:
            return durations.show(value)
        case str() if durations.parse(value) is not None or _is_date(value):
            return value
        case datetime.datetime():
            accepted = f"an aware datetime up to the year {limits.LAST_YEAR}, for instance datetime.now(UTC) + "
            raise _refused(option, value, f"{accepted}timedelta(hours=1)")
        case _:
            raise _refused(
                option, value, 'a duration such as "1h" or "2h30m", a timedelta, an aware datetime or an ISO date'
            )


def read_timeout(value: object) -> str:
    """Check when a token times out: a length of time, seconds too, or a moment."""
    if isinstance(value, datetime.datetime):
        return read_delay(value, "timeout")
    if isinstance(value, str) and durations.parse(value) is None:
        return read_delay(value, "timeout")
    return durations.show(durations.read(value, "timeout"))


def _is_date(text: str) -> bool:
    try:
        return _is_reckonable(datetime.datetime.fromisoformat(text))
    except ValueError:
        return False


def _is_reckonable(moment: datetime.datetime) -> bool:
    # One without a zone is taken as UTC.
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    try:
        return zoned.astimezone(datetime.UTC).year <= limits.LAST_YEAR
    except OverflowError:
        return False


def _ttl(value: object) -> str | int:
    length = durations.read(value, "ttl")
    if isinstance(value, str):
        return value
    return -(-length // _SECOND)


def _seconds(value: object) -> float:
    seconds = durations.read(value, "max_duration").total_seconds()
    if seconds == 0:
        raise _refused("max_duration", value, f"more than nothing: {durations.ACCEPTED}")
    return seconds


def _idempotency_key_ttl(value: object) -> str:
    # The wire takes one number and one unit here (wire contract §1.9), so "1h30m" is sent as "90m".
    seconds = _above_zero(value, "idempotency_key_ttl") // _SECOND
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _debounce(value: object) -> DebounceOption:
    accepted = "Debounce(key, delay, mode='leading' | 'trailing', max_delay=None) or the same as a dict"
    match value:
        case Debounce():
            given = value
        case Mapping() if {"key", "delay"} <= set(value) <= {"key", "delay", "mode", "max_delay"}:
            given = Debounce(**value)
        case _:
            raise _refused("debounce", value, accepted)
    if not _is_text(given.key, limits.MAX_DEBOUNCE_KEY_LENGTH):
        raise _refused("debounce key", given.key, f"1 to {limits.MAX_DEBOUNCE_KEY_LENGTH} characters, no NUL")
    if given.mode not in (None, "leading", "trailing"):
        raise _refused("debounce mode", given.mode, "'leading' or 'trailing'")
    delay = _above_zero(given.delay, "debounce delay")
    longest = None if given.max_delay is None else _above_zero(given.max_delay, "debounce max_delay")
    if longest is not None and longest <= delay:
        raise _refused("debounce max_delay", given.max_delay, f"longer than its delay, {durations.show(delay)}")
    return DebounceOption(
        given.key,
        durations.show(delay),
        mode=given.mode,
        max_delay=None if longest is None else durations.show(longest),
    )


def _queue(value: object) -> QueueOption:
    found = queue.read(value)
    return QueueOption(found.name, concurrency_limit=found.concurrency_limit)


def _concurrency_key(value: object) -> str | int:
    match value:
        case bool():
            pass
        case int() if abs(value) < _LARGEST_KEY:
            return value
        case str() if names.is_storable(value) and 0 < len(value.encode()) <= limits.MAX_CONCURRENCY_KEY_BYTES:
            return value
    accepted = f"an int or a string of 1 to {limits.MAX_CONCURRENCY_KEY_BYTES} bytes, no NUL"
    raise _refused("concurrency_key", value, accepted)


def _max_attempts(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limits.MAX_ATTEMPTS:
        raise _refused("max_attempts", value, f"a whole number from 1 to {limits.MAX_ATTEMPTS}")
    return value


def _priority(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limits.MAX_PRIORITY:
        raise _refused("priority", value, f"seconds of head start, 0 to {limits.MAX_PRIORITY:,}")
    return value


def _tags(value: object) -> list[str]:
    tags = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    good = [tag for tag in tags if _is_text(tag, limits.MAX_TAG_LENGTH)]
    if (not tags and value != []) or len(good) != len(tags) or len(tags) > limits.MAX_TAGS:
        accepted = (
            f"a string or at most {limits.MAX_TAGS} of them, each of 1 to {limits.MAX_TAG_LENGTH} characters, no NUL"
        )
        raise _refused("tags", value, accepted)
    return good


def _metadata(value: object) -> msgspec.Raw:
    if not isinstance(value, Mapping):
        raise _refused("metadata", value, "a dict that can be written as JSON")
    try:
        document = codec.encode(dict(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata={_quoted(value)} cannot be written as JSON: {error}") from None
    if len(document) > limits.MAX_METADATA_BYTES:
        raise ValueError(f"metadata is {len(document):,} bytes as JSON; expected at most {limits.MAX_METADATA_BYTES:,}")
    return msgspec.Raw(document)


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and names.is_storable(value)


def _above_zero(value: object, option: str) -> datetime.timedelta:
    """Read a length of time, in whole seconds, as the wire has it."""
    length = durations.read(value, option)
    if not length:
        raise _refused(option, value, f"more than nothing: {durations.ACCEPTED}")
    return -(-length // _SECOND) * _SECOND


def _region(value: object) -> object:
    if not names.is_region(value):
        raise _refused("region", value, names.REGION_FORM)
    return value


def _version(value: object) -> object:
    if not names.is_version(value):
        raise _refused("version", value, names.VERSION_FORM)
    return value


_READERS: Final[dict[str, Callable[[object], Any]]] = {
    "delay": read_delay,
    "ttl": _ttl,
    "idempotency_key": idempotency.sent,
    "idempotency_key_ttl": _idempotency_key_ttl,
    "debounce": _debounce,
    "queue": _queue,
    "concurrency_key": _concurrency_key,
    "max_attempts": _max_attempts,
    "max_duration": _seconds,
    "machine": read_machine,
    "region": _region,
    "priority": _priority,
    "tags": _tags,
    "metadata": _metadata,
    "version": _version,
}
