"""Requests: what a trigger asks for, read and checked before any transaction.

Pure: a request that makes no sense is refused here with the name of the field, what was found and what is accepted, so
that it fails alone however many share its transaction.

Life of a run, this module's part::

    api/routes/tasks, batches -> requests.plan -> NewRun -> triggering.trigger_many
"""

import datetime
import re
import uuid
from typing import Final

import msgspec

from oncue.protocol import codec, durations, ids, limits
from oncue.protocol.errors import BadRequest, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.triggers import NestedQueue, QueueOption, TriggerOptions, TriggerRequest

_TASK_ID: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_/.:-]+")
_MAX_DURATION_FLOOR: Final = 5.0
_INT4: Final = 2_147_483_647
_NOT_YET: Final = {
    "idempotency_key": "idempotencyKey",
    "debounce": "debounce",
    "ttl": "ttl",
    "lock_to_version": "lockToVersion",
    "machine": "machine",
    "region": "region",
}
"""Options of the API that this server does not honour; dropping one in silence could run a task twice."""


class ParentCall(msgspec.Struct, frozen=True):
    """The run that triggers from inside."""

    run_id: uuid.UUID
    epoch: int | None
    worker_id: uuid.UUID | None
    waits: bool
    call_key: str | None


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A request that makes sense."""

    run_id: uuid.UUID
    task: str
    queue: str | None = None
    """None: the task's own."""
    queue_limit: int | None = None
    concurrency_key: str | None = None
    payload: str | None = None
    payload_type: str = codec.JSON
    metadata: str | None = None
    tags: str = "{}"
    """A PostgreSQL array literal: arrays of arrays must not be ragged."""
    priority: int = 0
    max_attempts: int | None = None
    max_duration: datetime.timedelta | None = None
    delay: datetime.timedelta | None = None
    delay_until: datetime.datetime | None = None
    is_test: bool = False
    parent: ParentCall | None = None
    batch_id: uuid.UUID | None = None
    batch_waits: bool = False
    """The batch's parent waits for it."""
    request_key: str | None = None


def plan(
    task: str,
    request: TriggerRequest,
    *,
    run_id: uuid.UUID | None = None,
    batch_id: uuid.UUID | None = None,
    request_key: str | None = None,
    batch_waits: bool = False,
) -> NewRun:
    """Read a request.

    Args:
        task: Id of the task, as in the address or the batch item.
        run_id: The id that the run must have (an item of a batch); else the caller's own, else a new one.
        request_key: The caller's ``x-trigger-request-idempotency-key``. Not needed where the run id is the caller's.

    Raises:
        BadRequest: A field cannot be read.
        PayloadTooLarge: Payload or metadata exceed their limit.
        UnprocessableRequest: A rule is broken.
    """
    options = request.options
    _refuse_unsupported(options)
    own_id = None if options.run_id is None else ids.parse(ids.RUN, options.run_id)
    payload, payload_type = codec.document(request.payload, options.payload_type)
    if payload is not None and len(payload) > limits.MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"payload is {len(payload):,} bytes; the limit is {limits.MAX_PAYLOAD_BYTES:,}")
    queue, queue_limit = _queue(options.queue)
    delay, delay_until = _delay(options.delay)
    return NewRun(
        run_id=run_id or own_id or ids.parse(ids.RUN, ids.new_run_id()),
        task=_task(task),
        queue=queue,
        queue_limit=queue_limit,
        concurrency_key=_concurrency_key(options.concurrency_key),
        payload=None if payload is None else payload.decode(),
        payload_type=payload_type,
        metadata=_metadata(options.metadata),
        tags=_tags(options.tags),
        priority=_priority(options.priority),
        max_attempts=_max_attempts(options.max_attempts),
        max_duration=_max_duration(options.max_duration),
        delay=delay,
        delay_until=delay_until,
        is_test=bool(options.test),
        parent=_parent(options),
        batch_id=batch_id,
        batch_waits=batch_waits,
        request_key=None if own_id or batch_id else request_key,
    )


def parse_parent(
    run: str | None, epoch: int | None, worker: str | None, *, waits: bool, call_key: str | None
) -> ParentCall | None:
    """Read what a request says of the run it comes from; None where it comes from none.

    Raises:
        UnprocessableRequest: It wants to wait without saying which execution waits.
    """
    if run is None:
        if waits:
            raise UnprocessableRequest("resumeParentOnCompletion needs parentRunId; only a run can wait")
        return None
    if waits and (epoch is None or worker is None):
        raise UnprocessableRequest(
            "resumeParentOnCompletion needs parentEpoch and parentWorkerId: the execution that waits"
        )
    return ParentCall(
        ids.parse(ids.RUN, run),
        epoch,
        None if worker is None else ids.parse(ids.WORKER, worker),
        waits,
        call_key,
    )


def _refuse_unsupported(options: TriggerOptions) -> None:
    for field, name in _NOT_YET.items():
        if getattr(options, field) is not None:
            raise UnprocessableRequest(f"options.{name} is not supported by this server yet; leave it out")


def _task(task: str) -> str:
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


def _queue(option: str | QueueOption | None) -> tuple[str | None, int | None]:
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
    if len(name) > limits.MAX_QUEUE_NAME_LENGTH or _QUEUE_NAME.fullmatch(name) is None:
        raise BadRequest(
            f"options.queue: {name[:60]!r} is not a queue name; expected 1 to {limits.MAX_QUEUE_NAME_LENGTH} letters, "
            "digits, or any of _ / . : -"
        )
    if limit is not None and not 0 <= limit <= _INT4:
        raise BadRequest(f"options.queue.concurrencyLimit: found {limit}; expected 0 or more")
    return name, limit


def _concurrency_key(option: str | int | None) -> str | None:
    if option is None:
        return None
    key = _storable(str(option), "options.concurrencyKey")
    size = len(key.encode())
    if not 0 < size <= limits.MAX_CONCURRENCY_KEY_BYTES:
        raise BadRequest(f"options.concurrencyKey is {size:,} bytes; expected 1 to {limits.MAX_CONCURRENCY_KEY_BYTES}")
    return key


def _metadata(option: msgspec.Raw) -> str | None:
    if not option:
        return None
    size = len(bytes(option))
    if size > limits.MAX_METADATA_BYTES:
        raise PayloadTooLarge(f"metadata is {size:,} bytes; the limit is {limits.MAX_METADATA_BYTES:,}")
    codec.checked(option, "options.metadata")
    text = bytes(option).decode()
    if not text.lstrip().startswith("{"):
        raise BadRequest(f"options.metadata: found {text[:30]!r}; expected a JSON object")
    return text


def _tags(option: str | list[str] | None) -> str:
    if option is None:
        return "{}"
    tags = sorted({_storable(tag, "options.tags") for tag in ([option] if isinstance(option, str) else option)})
    if len(tags) > limits.MAX_TAGS:
        raise UnprocessableRequest(f"options.tags: found {len(tags)} tags; at most {limits.MAX_TAGS} are accepted")
    for tag in tags:
        if not 0 < len(tag) <= limits.MAX_TAG_LENGTH:
            raise BadRequest(
                f"options.tags: {tag[:60]!r} has {len(tag)} characters; expected 1 to {limits.MAX_TAG_LENGTH}"
            )
    return "{" + ",".join('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags) + "}"


def _priority(option: float | None) -> int:
    if option is None:
        return 0
    if not -limits.MAX_PRIORITY <= option <= limits.MAX_PRIORITY:
        raise BadRequest(
            f"options.priority: found {option}; expected seconds of head start, at most {limits.MAX_PRIORITY:,}"
        )
    return round(option)


def _max_attempts(option: int | None) -> int | None:
    if option is not None and not 1 <= option <= limits.MAX_ATTEMPTS:
        raise BadRequest(f"options.maxAttempts: found {option}; expected 1 to {limits.MAX_ATTEMPTS}")
    return option


def _max_duration(option: float | None) -> datetime.timedelta | None:
    if option is None:
        return None
    if not 0 < option <= _INT4:
        raise BadRequest(f"options.maxDuration: found {option}; expected seconds, 5 to {_INT4:,}")
    return datetime.timedelta(seconds=max(option, _MAX_DURATION_FLOOR))


def _delay(option: str | None) -> tuple[datetime.timedelta | None, datetime.datetime | None]:
    if option is None:
        return None, None
    span = durations.parse(option)
    if span is not None:
        return span, None
    try:
        moment = datetime.datetime.fromisoformat(option)
    except ValueError:
        raise UnprocessableRequest(
            f'options.delay: {option[:60]!r} is neither a duration nor a date; expected for instance "1h", "2h30m" or '
            '"2030-12-01T00:00:00Z"'
        ) from None
    # A date without a zone is taken as UTC, as the official client writes it.
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    try:
        return None, zoned.astimezone(datetime.UTC)
    except OverflowError:
        raise UnprocessableRequest(f"options.delay: {option!r} is outside of the years 1 to 9999") from None


def _parent(options: TriggerOptions) -> ParentCall | None:
    return parse_parent(
        options.parent_run_id,
        options.parent_epoch,
        options.parent_worker_id,
        waits=options.resume_parent_on_completion,
        call_key=options.call_key,
    )
