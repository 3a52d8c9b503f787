"""Option rules: each option of a trigger, read and checked on its own.

Pure. A value that makes no sense is refused with the name of the field, what was found and what is accepted.

Source: wire contract §1.9, §2.1 and §8.4 to §8.11.

Life of a run, this module's part::

    requests.plan -> option_rules.read_* -> NewRun
"""

import datetime
import email.utils
import re
from typing import Final

import msgspec

from oncue.protocol import codec, durations, limits, names
from oncue.protocol.errors import BadRequest, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.machines import MACHINES
from oncue.protocol.triggers import (
    DebounceOption,
    IdempotencyKeyOptions,
    NestedQueue,
    QueueOption,
    TriggerOptions,
)

_TASK_ID: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_MAX_DURATION_FLOOR: Final = 5.0
_INT4: Final = 2_147_483_647
_KEY_LIFETIME: Final = datetime.timedelta(days=30)
_ZERO: Final = datetime.timedelta()
_MODES: Final = ("leading", "trailing")


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A key under which a task runs once."""

    key: str
    lifetime: datetime.timedelta
    shown_as: str | None
    """``{"key", "scope"}`` as JSON: the key as a person wrote it."""


class Debounce(msgspec.Struct, frozen=True):
    """Calls with one key fall together while their run is held."""

    key: str
    delay: datetime.timedelta
    is_trailing: bool
    max_delay: datetime.timedelta | None


def read_task(task: str) -> str:
    """Return a task's id."""
    if len(task) > limits.MAX_TASK_ID_LENGTH or _TASK_ID.fullmatch(task) is None:
        raise BadRequest(
            f"task id {task[:60]!r} is not valid; expected 1 to {limits.MAX_TASK_ID_LENGTH} characters, none of control"
        )
    return _storable(task, "task id")


def _storable(text: str, field: str) -> str:
    """Refuse text that PostgreSQL cannot hold: NUL and lone surrogates."""
    if "\0" in text:
        raise BadRequest(f"{field} contains a NUL character, which cannot be stored; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{field} contains a lone surrogate, which is not text; send valid UTF-8") from None
    return text


def check_queue(field: str, name: str) -> None:
    """Return if a queue may have this name."""
    if not names.is_queue(name):
        raise BadRequest(f"{field}: {name[:60]!r} is not a queue name; expected {names.QUEUE_FORM}")


def read_queue(option: str | QueueOption | None) -> tuple[str | None, int | None]:
    """Return the queue's name and what the caller says its limit is, each None where it is not said."""
    if option is None:
        return None, None
    if isinstance(option, QueueOption):
        limit = option.concurrency_limit
        # The trigger page's own object arrives wrapped once more (wire contract, trap 5).
        if isinstance(option.name, NestedQueue):
            name, limit = option.name.name, option.name.concurrency_limit
        else:
            name = option.name
    else:
        name, limit = option, None
    check_queue("options.queue", name)
    if limit is not None and not 0 <= limit <= limits.MAX_CONCURRENCY_LIMIT:
        raise BadRequest(
            f"options.queue.concurrencyLimit: found {limit}; expected 0 to {limits.MAX_CONCURRENCY_LIMIT:,}"
        )
    return name, limit


def read_concurrency_key(option: str | float | None) -> str | None:
    """Return the value that has a queue of its own; an empty text is none, as for official servers."""
    if option is None or option == "":
        return None
    key = _storable(str(option), "options.concurrencyKey")
    size = len(key.encode())
    if size > limits.MAX_CONCURRENCY_KEY_BYTES:
        raise BadRequest(f"options.concurrencyKey is {size:,} bytes; expected 1 to {limits.MAX_CONCURRENCY_KEY_BYTES}")
    return key


def read_metadata(option: msgspec.Raw) -> str | None:
    """Return metadata as JSON text."""
    if not option or bytes(option).strip() == b"null":
        return None
    size = len(bytes(option))
    if size > limits.MAX_METADATA_BYTES:
        raise PayloadTooLarge(f"metadata is {size:,} bytes; the limit is {limits.MAX_METADATA_BYTES:,}")
    codec.checked(option, "options.metadata")
    text = bytes(option).decode()
    if not text.lstrip().startswith("{"):
        raise BadRequest(f"options.metadata: found {text[:30]!r}; expected a JSON object")
    return text


def read_tags(option: str | list[str] | None) -> str | None:
    """Return tags, sorted and each once, as a PostgreSQL array literal; blank ones are none."""
    if option is None:
        return None
    said = [option] if isinstance(option, str) else option
    found = sorted({_storable(tag, "options.tags") for tag in said if tag.strip()})
    if len(found) > limits.MAX_TAGS:
        raise UnprocessableRequest(f"options.tags: found {len(found)} tags; at most {limits.MAX_TAGS} are accepted")
    for tag in found:
        if len(tag) > limits.MAX_TAG_LENGTH:
            raise BadRequest(
                f"options.tags: {tag[:60]!r} has {len(tag)} characters; expected 1 to {limits.MAX_TAG_LENGTH}"
            )
    return "{" + ",".join('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in found) + "}"


def read_priority(option: float | None) -> int:
    """Return milliseconds of head start, as many as can be stored at most. Source: wire contract §2.1."""
    if option is None:
        return 0
    return round(max(-limits.MAX_PRIORITY, min(option, limits.MAX_PRIORITY)) * 1000)


def show_priority(milliseconds: int) -> float:
    """Return seconds of head start."""
    return milliseconds / 1000


def read_max_attempts(option: int | None) -> int | None:
    """Return how often the run may be tried."""
    if option is not None and not 1 <= option <= limits.MAX_ATTEMPTS:
        raise BadRequest(f"options.maxAttempts: found {option}; expected 1 to {limits.MAX_ATTEMPTS}")
    return option


def read_max_duration(option: float | None) -> datetime.timedelta | None:
    """Return how long an attempt may compute."""
    if option is None:
        return None
    if not 0 < option <= _INT4:
        raise BadRequest(
            f"options.maxDuration: found {option}; expected seconds, more than 0 and up to {_INT4:,}; "
            "fewer than 5 count as 5"
        )
    return datetime.timedelta(seconds=max(option, _MAX_DURATION_FLOOR))


def read_delay(
    option: str | None, field: str = "options.delay"
) -> tuple[datetime.timedelta | None, datetime.datetime | None]:
    """Return how long, or until when, the run is held; one of the two, or none."""
    if option is None:
        return None, None
    span = durations.parse(option)
    if span is not None:
        return span, None
    moment = _moment(option)
    if moment is None:
        raise UnprocessableRequest(
            f'{field}: {option[:60]!r} is neither a duration nor a date; expected for instance "1h", "2h30m" or '
            '"2030-12-01T00:00:00Z"'
        )
    # A date without a zone is taken as UTC, as the official client writes it.
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    try:
        utc = zoned.astimezone(datetime.UTC)
    except OverflowError:
        utc = None
    if utc is None or utc.year > limits.LAST_YEAR:
        raise UnprocessableRequest(f"{field}: {option[:60]!r} is outside of the years 1 to {limits.LAST_YEAR}")
    return None, utc


def _moment(text: str) -> datetime.datetime | None:
    """Read a date as ISO 8601 writes it, or as JavaScript's ``toUTCString``."""
    for read in (datetime.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            return read(text)
        except ValueError:
            pass
    return None


def read_ttl(option: str | int | None) -> datetime.timedelta | None:
    """Return how long a run may stand in line; zero: for ever, as far as the environment lets it."""
    if option is None:
        return None
    if isinstance(option, int):
        found = datetime.timedelta(seconds=option) if 0 <= option <= _INT4 else None
    else:
        found = durations.parse(option)
    if found is None:
        raise UnprocessableRequest(
            f'options.ttl: {str(option)[:60]!r} is not a length of time; expected for instance "1h", "2h30m", or '
            "seconds as a number; 0 switches it off"
        )
    return found


def read_machine(option: str | None) -> str | None:
    """Return a machine preset."""
    if option is not None and option not in MACHINES:
        raise UnprocessableRequest(f"options.machine: found {option[:60]!r}; expected one of {', '.join(MACHINES)}")
    return option


def read_region(option: str | None) -> str | None:
    """Return the name of a region."""
    if option is not None and not names.is_region(option):
        raise UnprocessableRequest(
            f"options.region: {option[:60]!r} is not a region's name; expected {names.REGION_FORM}"
        )
    return option


def read_version(option: str | None) -> str | None:
    """Return the version of the code that the run is locked to."""
    if option is not None and not names.is_version(option):
        raise UnprocessableRequest(
            f"options.lockToVersion: {option[:60]!r} is not a version; expected {names.VERSION_FORM}"
        )
    return option


def read_idempotency_key(options: TriggerOptions) -> IdempotencyKey | None:
    """Return the idempotency key with its lifetime, 30 days unless told otherwise.

    Source: wire contract §8.7.
    """
    lifetime = read_key_lifetime(options.idempotency_key_ttl, "options.idempotencyKeyTTL")
    if options.idempotency_key is None:
        return None
    key = check_key(options.idempotency_key, "options.idempotencyKey", limits.MAX_IDEMPOTENCY_KEY_LENGTH)
    return IdempotencyKey(key, lifetime, _shown_key(options.idempotency_key_options))


def read_key_lifetime(option: str | None, field: str) -> datetime.timedelta:
    """Return how long an idempotency key counts, 30 days unless told otherwise."""
    if option is None:
        return _KEY_LIFETIME
    lifetime = durations.parse(option)
    if not lifetime:
        raise UnprocessableRequest(
            f'{field}: {option[:60]!r} is not a length of time above zero; expected for instance "60s", "1h" or "30d"'
        )
    return lifetime


def check_key(key: str, field: str, longest: int) -> str:
    """Return a key of a caller's choice that can be stored."""
    if not 0 < len(key) <= longest:
        raise BadRequest(f"{field} has {len(key):,} characters; expected 1 to {longest:,}")
    return _storable(key, field)


def read_debounce(option: DebounceOption | None) -> Debounce | None:
    """Return what holds calls together.

    Source: wire contract §8.6.
    """
    if option is None:
        return None
    key = check_key(option.key, "options.debounce.key", limits.MAX_DEBOUNCE_KEY_LENGTH)
    delay = _debounce_time(option.delay, "delay")
    max_delay = None if option.max_delay is None else _debounce_time(option.max_delay, "maxDelay")
    if max_delay is not None and max_delay <= delay:
        raise UnprocessableRequest(
            f"options.debounce.maxDelay: found {option.max_delay!r}; expected more than the delay, {option.delay!r}"
        )
    mode = option.mode or "leading"
    if mode not in _MODES:
        raise UnprocessableRequest(f"options.debounce.mode: found {mode[:60]!r}; expected one of {', '.join(_MODES)}")
    return Debounce(key, delay, mode == "trailing", max_delay)


def _debounce_time(text: str, field: str) -> datetime.timedelta:
    found = durations.parse(text)
    if not found:
        raise UnprocessableRequest(
            f"options.debounce.{field}: {text[:60]!r} is not a length of time above zero; expected for instance "
            '"5s" or "1h30m", and no date'
        )
    return found


def _shown_key(options: IdempotencyKeyOptions | None) -> str | None:
    if options is None:
        return None
    _storable(options.key, "options.idempotencyKeyOptions.key")
    return msgspec.json.encode(options).decode()
