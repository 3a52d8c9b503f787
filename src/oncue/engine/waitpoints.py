"""Waitpoints: what a run can wait for that is no run: a moment, or a token that somebody completes.

A run that waits for one is parked like a parent: it holds no slot and no place, and a notice tells its worker when it
is over. Moments are found by PostgreSQL's clock, in groups; a million of them cost nothing until they come. A token's
row is locked before the run that waits for it, by whoever settles it and by whoever begins to wait.

Life of a run, this module's part::

    api/routes/waitpoints -> waitpoints.wait: EXECUTING -> WAITING_TO_RESUME
    upkeep -> waitpoints.settle_due -> waits.settle -> the run goes on
"""

import datetime
import uuid
from collections import defaultdict
from typing import Final

import msgspec

from oncue.engine import dispatch, environments, requests, triggering, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.requests import ParentCall
from oncue.engine.rows import Environment
from oncue.engine.triggering import ParentRun
from oncue.engine.waits import Wait
from oncue.protocol import durations, ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.work import WaitRequest
from oncue.store import queries
from oncue.store.pool import Tx

GROUP: Final = 500
"""Waitpoints settled in one transaction."""

FORGET_AT_ONCE: Final = 1_000
"""Moments dropped in one transaction."""


class WaitpointId(msgspec.Struct, frozen=True):
    """Which waitpoint."""

    id: uuid.UUID


class LockedWaitpoint(msgspec.Struct, frozen=True):
    """A waitpoint that does not change as long as it is locked."""

    id: uuid.UUID
    is_token: bool
    is_settled: bool


class DueWaitpoint(msgspec.Struct, frozen=True):
    """A waitpoint whose moment has come."""

    env_id: int
    id: uuid.UUID


class NextDue(msgspec.Struct, frozen=True):
    """How long until the next waitpoint is due."""

    wait: datetime.timedelta | None


class Forgotten(msgspec.Struct, frozen=True):
    """How many moments were dropped."""

    count: int


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a waitpoint a token."""

    tags: list[str]
    idempotency_key: str | None
    key_lifetime: datetime.timedelta | None


_sql = queries.load("waitpoints")
_insert = _sql.maybe("insert", WaitpointId)
_recorded = _sql.maybe("recorded", WaitpointId)
_lock = _sql.maybe("lock", LockedWaitpoint)
_settle_due = _sql.many("settle_due", DueWaitpoint)
_next_due = _sql.one("next_due", NextDue)
_forget_moments = _sql.one("forget_moments", Forgotten)


async def wait(tx: Tx, environment: Environment, request: WaitRequest, *, effects: Effects) -> uuid.UUID:
    """Let a run wait for a span, a moment or a token; returns the waitpoint. One that is over resumes the run at once.

    Raises:
        BadRequest: Not exactly one thing to wait for is named, or the span is no length of time.
        LeaseLost: The run is no longer executed by the worker that asks.
        NotFound: There is no such token in this environment.
    """
    call = requests.parse_parent(
        request.parent_run_id,
        request.parent_epoch,
        request.parent_worker_id,
        waits=True,
        call_key=request.call_key,
    )
    assert call is not None
    if sum(given is not None for given in (request.delay_ms, request.until, request.token)) != 1:
        raise BadRequest("a wait names one of delayMs, until and token; send exactly one")
    if request.token is not None:
        token = await locked(tx, environment, ids.parse(ids.WAITPOINT, request.token))
        await triggering.lock_caller(tx, environment, call)
        await _park(tx, environment, call, token.id, is_settled=token.is_settled, effects=effects)
        return token.id
    caller = await triggering.lock_caller(tx, environment, call)
    made = await recorded(tx, environment, call, caller)
    if made is None:
        made = ids.parse(ids.WAITPOINT, request.id or ids.new_waitpoint_id())
        await insert(tx, environment, made, call, caller, delay=_span(request), until=request.until)
        effects.due_sooner = True
    moment = await locked(tx, environment, made)
    await _park(tx, environment, call, made, is_settled=moment.is_settled, effects=effects)
    return made


async def insert(
    tx: Tx,
    environment: Environment,
    waitpoint: uuid.UUID,
    call: ParentCall | None,
    caller: ParentRun | None,
    *,
    delay: datetime.timedelta | None = None,
    until: datetime.datetime | None = None,
    token: Token | None = None,
) -> bool:
    """Store a waitpoint, with the call that made it; returns whether it is new."""
    row = await _insert(
        tx,
        env_id=environment.id,
        id=waitpoint,
        is_token=token is not None,
        delay=delay,
        until=until,
        tags=[] if token is None else token.tags,
        idempotency_key=None if token is None else token.idempotency_key,
        key_lifetime=None if token is None else token.key_lifetime,
        parent_id=None if call is None else call.run_id,
        parent_attempt=None if caller is None else caller.attempt,
        call_key=None if call is None else call.call_key,
    )
    return row is not None


async def recorded(tx: Tx, environment: Environment, call: ParentCall, caller: ParentRun) -> uuid.UUID | None:
    """Return the waitpoint that this call made before its run was started again; None where there is none."""
    asks = triggering.caller_of(call, {caller.run_id: caller})
    if asks is None:
        return None
    row = await _recorded(
        tx, env_id=environment.id, parent_id=asks.run_id, attempt=asks.attempt, call_key=asks.call_key
    )
    return None if row is None else row.id


async def locked(tx: Tx, environment: Environment, waitpoint: uuid.UUID) -> LockedWaitpoint:
    """Lock a waitpoint.

    Raises:
        NotFound: There is none.
    """
    row = await _lock(tx, env_id=environment.id, id=waitpoint)
    if row is None:
        raise NotFound(f"no token {ids.show(ids.WAITPOINT, waitpoint)} in this environment")
    return row


async def settle(tx: Tx, environment: Environment, waitpoints: list[uuid.UUID], *, effects: Effects) -> None:
    """Let the runs go on that wait for waitpoints which are settled, and locked."""
    changes = Changes()
    await waits.settle(tx, environment, waitpoints, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)


async def settle_due(tx: Tx, effects: Effects) -> int:
    """Settle one group of waitpoints whose moment has come; returns how many that were."""
    due = await _settle_due(tx, limit=GROUP)
    if not due:
        return 0
    known = {environment.id: environment for environment in await environments.list_environments(tx)}
    by_environment: defaultdict[int, list[uuid.UUID]] = defaultdict(list)
    for row in due:
        by_environment[row.env_id].append(row.id)
    for env_id, found in sorted(by_environment.items()):
        await settle(tx, known[env_id], found, effects=effects)
    return len(due)


async def next_due(tx: Tx) -> datetime.timedelta | None:
    """Return how long until the next waitpoint is due, negative if it is overdue; None if there is none."""
    return (await _next_due(tx)).wait


async def forget_moments(tx: Tx) -> int:
    """Drop some moments that have passed and whose run has ended; returns how many."""
    return (await _forget_moments(tx, limit=FORGET_AT_ONCE)).count


async def _park(
    tx: Tx, environment: Environment, call: ParentCall, waitpoint: uuid.UUID, *, is_settled: bool, effects: Effects
) -> None:
    assert call.epoch is not None
    assert call.worker_id is not None
    changes = Changes()
    asked = Wait(call.run_id, call.epoch, call.worker_id, waitpoint, call.call_key)
    new = await waits.park(tx, environment, [asked], changes=changes, effects=effects)
    if new:
        await waits.register(tx, environment, new, kind="waitpoint")
        if is_settled:
            await waits.settle(tx, environment, [waitpoint], changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)


def _span(request: WaitRequest) -> datetime.timedelta | None:
    if request.delay_ms is None:
        return None
    longest_ms = durations.LONGEST // datetime.timedelta(milliseconds=1)
    if not 0 <= request.delay_ms <= longest_ms:
        raise BadRequest(f"delayMs: found {request.delay_ms:,}; expected 0 to {longest_ms:,}")
    return datetime.timedelta(milliseconds=request.delay_ms)
