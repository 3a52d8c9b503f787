"""Requests: what a trigger asks for, read and checked before any transaction.

Pure: a request that makes no sense is refused here with the name of the field, what was found and what is accepted, so
that it fails alone however many share its transaction.

Life of a run, this module's part::

    api/routes/tasks, batches -> requests.plan -> NewRun -> triggering.trigger_many
"""

import datetime
import uuid

import msgspec

from oncue.engine import option_rules
from oncue.engine.option_rules import Debounce, IdempotencyKey
from oncue.protocol import codec, ids, limits, packets
from oncue.protocol.errors import UnprocessableRequest
from oncue.protocol.triggers import TriggerOptions, TriggerRequest


class ParentCall(msgspec.Struct, frozen=True):
    """The run that triggers from inside."""

    run_id: uuid.UUID
    epoch: int | None
    worker_id: uuid.UUID | None
    waits: bool
    call_key: str | None


class OneTimeToken(msgspec.Struct, frozen=True):
    """A public access token that counts for one request."""

    hash: bytes
    """SHA-256 of what is signed of it."""
    expires_at: datetime.datetime


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
    tags: str | None = None
    """A PostgreSQL array literal, as arrays of arrays must not be ragged; None: none were given."""
    priority: int = 0
    """Milliseconds of head start."""
    max_attempts: int | None = None
    max_duration: datetime.timedelta | None = None
    delay: datetime.timedelta | None = None
    delay_until: datetime.datetime | None = None
    ttl: datetime.timedelta | None = None
    """None: the task's or the environment's; zero: none."""
    idempotency: IdempotencyKey | None = None
    debounce: Debounce | None = None
    version: str | None = None
    machine: str | None = None
    """None: the task's own."""
    region: str | None = None
    is_test: bool = False
    replayed_from: uuid.UUID | None = None
    """The run that this one is a replay of."""
    parent: ParentCall | None = None
    batch_id: uuid.UUID | None = None
    batch_waits: bool = False
    """The batch's parent waits for it."""
    request_key: str | None = None
    one_time: OneTimeToken | None = None
    """The token that the request uses up."""


def plan(
    task: str,
    request: TriggerRequest,
    *,
    run_id: uuid.UUID | None = None,
    batch_id: uuid.UUID | None = None,
    request_key: str | None = None,
    batch_waits: bool = False,
    max_payload_bytes: int = limits.MAX_PAYLOAD_BYTES,
) -> NewRun:
    """Read a request.

    Args:
        task: Id of the task, as in the address or the batch item.
        run_id: The id that the run must have (an item of a batch); else the caller's own, else a new one.
        request_key: The caller's ``x-trigger-request-idempotency-key``. Not needed where the run id is the caller's.
        max_payload_bytes: The largest payload, as JSON text.

    Raises:
        BadRequest: A field cannot be read.
        PayloadTooLarge: Payload or metadata exceed their limit.
        UnprocessableRequest: A rule is broken.
    """
    options = request.options
    own_id = None if options.run_id is None else ids.parse(ids.RUN, options.run_id)
    payload, payload_type = codec.document(request.payload, options.payload_type)
    if payload is not None and len(payload) > max_payload_bytes:
        raise packets.too_large("payload", len(payload), max_payload_bytes)
    queue, queue_limit = option_rules.read_queue(options.queue)
    debounce = option_rules.read_debounce(options.debounce)
    delay, delay_until = option_rules.read_delay(options.delay)
    if debounce is not None:
        delay = _debounced(debounce, delay, is_explicit=options.delay is not None)
    return NewRun(
        run_id=run_id or own_id or ids.parse(ids.RUN, ids.new_run_id()),
        task=option_rules.read_task(task),
        queue=queue,
        queue_limit=queue_limit,
        concurrency_key=option_rules.read_concurrency_key(options.concurrency_key),
        payload=None if payload is None else payload.decode(),
        payload_type=payload_type,
        metadata=option_rules.read_metadata(options.metadata),
        tags=option_rules.read_tags(options.tags),
        priority=option_rules.read_priority(options.priority),
        max_attempts=option_rules.read_max_attempts(options.max_attempts),
        max_duration=option_rules.read_max_duration(options.max_duration),
        delay=delay,
        delay_until=delay_until,
        ttl=option_rules.read_ttl(options.ttl),
        idempotency=option_rules.read_idempotency_key(options),
        debounce=debounce,
        version=option_rules.read_version(options.lock_to_version),
        machine=option_rules.read_machine(options.machine),
        region=option_rules.read_region(options.region),
        is_test=bool(options.test),
        parent=_parent(options),
        batch_id=batch_id,
        batch_waits=batch_waits,
        request_key=None if batch_id else _request_key(options, request_key),
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
    if call_key is not None:
        option_rules.check_key(call_key, "callKey", limits.MAX_CALL_KEY_LENGTH)
    return ParentCall(
        ids.parse(ids.RUN, run),
        epoch,
        None if worker is None else ids.parse(ids.WORKER, worker),
        waits,
        call_key,
    )


def _debounced(debounce: Debounce, delay: datetime.timedelta | None, *, is_explicit: bool) -> datetime.timedelta | None:
    """Return how long the first call's run is held: as it says itself, but never for longer than the longest delay."""
    if not is_explicit:
        return debounce.delay
    if debounce.max_delay is None:
        return delay
    # Beside a moment this is a bound: the earlier of the two counts.
    return debounce.max_delay if delay is None else min(delay, debounce.max_delay)


def _request_key(options: TriggerOptions, key: str | None) -> str | None:
    """Return by what a request is known again: its run id says it, unless a key can lead it to another run."""
    if options.run_id is None:
        return key
    is_keyed = options.idempotency_key is not None or options.debounce is not None
    return f"run/{options.run_id}" if is_keyed else None


def _parent(options: TriggerOptions) -> ParentCall | None:
    return parse_parent(
        options.parent_run_id,
        options.parent_epoch,
        options.parent_worker_id,
        waits=options.resume_parent_on_completion,
        call_key=options.call_key,
    )
