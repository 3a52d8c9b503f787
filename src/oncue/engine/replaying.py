"""Replaying: a new run that is asked to do what another one was.

Any run can be replayed, also one that goes on. The new run takes over what the old one was about: task, payload,
metadata as it was at first, tags, test flag, queue, concurrency key, machine and region. How it was to be run does not
come along: delay, ttl, keys, attempts, duration, priority, parent, version. The caller may say anything but the task
anew; what is said obeys the rules of a trigger's options.

Source: wire contract §2.7, §8.13.

Life of a run, this module's part::

    api/routes/run_changes -> replaying.replay -> requests.plan, triggering.trigger_many -> ReplayResponse
"""

import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine import option_rules, requests, triggering
from oncue.engine.events import Effects
from oncue.engine.requests import NewRun, OneTimeToken
from oncue.engine.rows import Environment
from oncue.protocol import codec, ids, limits
from oncue.protocol.errors import ApiError, BadRequest, NotFound, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.runs import ReplayRequest, ReplayResponse
from oncue.protocol.triggers import TriggerOptions, TriggerRequest
from oncue.store import queries
from oncue.store.pool import Tx


class Replay(msgspec.Struct, frozen=True):
    """A wish to replay a run."""

    run_id: uuid.UUID
    changes: TriggerRequest = TriggerRequest()
    """What the caller says anew."""
    request_key: str | None = None
    """The caller's ``x-trigger-request-idempotency-key``: delivered again, the wish makes no second run."""
    one_time: OneTimeToken | None = None
    """The token that the wish uses up."""


class Original(msgspec.Struct, frozen=True):
    """What a run was asked to do."""

    id: uuid.UUID
    task: str
    payload: str | None
    payload_type: str
    metadata: str | None
    tags: list[str]
    is_test: bool
    queue: str | None
    """None: its task's own, which nobody knew."""
    concurrency_key: str | None
    machine: str | None
    region: str | None


_sql = queries.load("replaying")
_originals = _sql.many("originals", Original)


def plan(
    run_id: uuid.UUID,
    request: ReplayRequest,
    *,
    request_key: str | None = None,
    one_time: OneTimeToken | None = None,
) -> Replay:
    """Read what a replay says anew.

    Raises:
        BadRequest: A type without a payload, or one that the payload does not have.
    """
    if request.payload_type is not None:
        _check_type(request.payload, request.payload_type)
    options = TriggerOptions(
        payload_type=request.payload_type,
        queue=request.queue,
        concurrency_key=request.concurrency_key,
        delay=request.delay,
        ttl=request.ttl,
        idempotency_key=request.idempotency_key,
        idempotency_key_ttl=request.idempotency_key_ttl,
        idempotency_key_options=request.idempotency_key_options,
        tags=request.tags,
        metadata=request.metadata,
        max_attempts=request.max_attempts,
        max_duration=request.max_duration,
        machine=request.machine,
        priority=request.priority,
        region=request.region,
        lock_to_version=request.version,
    )
    return Replay(run_id, TriggerRequest(request.payload, options), request_key, one_time)


async def original_payload(tx: Tx, environment: Environment, run: uuid.UUID) -> tuple[str | None, str]:
    """Return the payload of a run that is to be replayed, and its type.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    rows = await _originals(tx, env_id=environment.id, run_ids=[run])
    if not rows:
        raise NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
    return rows[0].payload, rows[0].payload_type


async def replay(
    tx: Tx,
    environment: Environment,
    replays: Sequence[Replay],
    *,
    max_payload_bytes: int = limits.MAX_PAYLOAD_BYTES,
    effects: Effects,
) -> list[ReplayResponse | ApiError]:
    """Make runs that are asked to do what others were.

    Args:
        replays: What is wished for.
        max_payload_bytes: The largest payload that may be said anew.
        effects: Gets what others must hear of.

    Returns:
        For each, in order, the new run or why there is none: no such run in the caller's environment, or something
        said anew breaks a rule.
    """
    wanted = list({each.run_id for each in replays})
    originals = {row.id: row for row in await _originals(tx, env_id=environment.id, run_ids=wanted)}
    planned = [_planned(each, originals.get(each.run_id), max_payload_bytes) for each in replays]
    runs = [run for run in planned if isinstance(run, NewRun)]
    made = iter(await triggering.trigger_many(tx, environment, runs, effects=effects))
    results: list[ReplayResponse | ApiError] = []
    for run in planned:
        outcome = next(made) if isinstance(run, NewRun) else run
        if isinstance(outcome, ApiError):
            results.append(outcome)
        else:
            assert isinstance(run, NewRun)
            results.append(ReplayResponse(ids.show(ids.RUN, outcome.run_id), run.task, outcome.is_cached))
    return results


def _planned(asked: Replay, original: Original | None, max_payload_bytes: int) -> NewRun | ApiError:
    if original is None:
        return NotFound(f"no run {ids.show(ids.RUN, asked.run_id)} in this environment")
    try:
        anew = requests.plan(
            original.task, asked.changes, request_key=asked.request_key, max_payload_bytes=max_payload_bytes
        )
    except (BadRequest, PayloadTooLarge, UnprocessableRequest) as refusal:
        return _renamed(refusal)
    return msgspec.structs.replace(
        anew,
        payload=original.payload if anew.payload is None else anew.payload,
        payload_type=original.payload_type if anew.payload is None else anew.payload_type,
        metadata=anew.metadata or original.metadata,
        tags=option_rules.read_tags(original.tags) if anew.tags is None else anew.tags,
        is_test=original.is_test,
        queue=anew.queue or original.queue,
        concurrency_key=anew.concurrency_key or original.concurrency_key,
        machine=anew.machine or original.machine,
        region=anew.region or original.region,
        replayed_from=original.id,
        one_time=asked.one_time,
    )


def _renamed(refusal: ApiError) -> ApiError:
    """Name fields as the body of a replay has them, where they stand at its top."""
    message = refusal.message.removeprefix("options.")
    if message.startswith("lockToVersion"):
        message = message.replace("lockToVersion", "version", 1)
    # Source: wire contract §2.7: what is wrong with a replay is a bad request.
    return PayloadTooLarge(message) if isinstance(refusal, PayloadTooLarge) else BadRequest(message)


def _check_type(payload: msgspec.Raw, type_: str) -> None:
    if type_ not in (codec.JSON, codec.SUPER_JSON):
        raise BadRequest(f"payloadType: found {type_[:60]!r}; expected {codec.JSON} or {codec.SUPER_JSON}")
    if not payload:
        raise BadRequest("payloadType is given without a payload; leave it out, or send both")
    if type_ == codec.SUPER_JSON and not bytes(payload).lstrip().startswith(b'"'):
        raise BadRequest(f"payload: expected a string that holds the document, as payloadType is {type_}")
