"""Triggering: requests become runs.

Takes a list, as everything on the hot path does: calls that arrived together share one transaction. A request that
was sent before, told by its run id or its request key, makes nothing new. What a request means was decided before, in
``requests``; here nothing can fail for one item alone but its parent: it lost its lease, or has ended.

Life of a run, this module's part::

    api/coalescing -> triggering.trigger_many -> waits.park, placing.find, insert, dispatch.settle -> Triggered
"""

import datetime
import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine import dispatch, lifetimes, placing, queues, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.placing import Place, Wanted
from oncue.engine.requests import NewRun, ParentCall
from oncue.engine.rows import Environment
from oncue.engine.waits import Wait
from oncue.protocol import machines
from oncue.protocol.errors import ApiError, LeaseLost, UnprocessableRequest
from oncue.store import queries
from oncue.store.pool import Tx


class Triggered(msgspec.Struct, frozen=True):
    """The run that a request stands for."""

    run_id: uuid.UUID
    is_cached: bool = False


class ParentRun(msgspec.Struct, frozen=True):
    """A run that triggers from inside."""

    run_id: uuid.UUID
    epoch: int
    worker_id: uuid.UUID | None
    is_held: bool
    """A worker executes it, or it waits there."""
    root_id: uuid.UUID | None
    depth: int


class Created(msgspec.Struct, frozen=True):
    """A run that was not there before."""

    run_id: uuid.UUID
    status: str
    line_id: int | None


class Keyed(msgspec.Struct, frozen=True):
    """What a request key was used for before."""

    key: str
    target_id: uuid.UUID


_sql = queries.load("triggering")
_take_keys = _sql.many("take_keys", Keyed)
_used_keys = _sql.many("used_keys", Keyed)
_lock_parents = _sql.many("lock_parents", ParentRun)
_insert_runs = _sql.many("insert_runs", Created)


async def trigger_many(
    tx: Tx, environment: Environment, runs: Sequence[NewRun], *, effects: Effects
) -> list[Triggered | ApiError]:
    """Make runs, park the parents that wait for them, and put them in line.

    Returns:
        For each run, in order, what it is or why it was refused.
    """
    changes = Changes()
    parents = await lock_parents(tx, environment, runs)
    refusals = [refusal(run.parent, parents) for run in runs]
    accepted = [run for run, refused in zip(runs, refusals, strict=True) if refused is None]
    targets = await _targets(tx, environment, accepted)
    new_waits = await _park(tx, environment, accepted, targets, changes=changes)
    # By id: the same request may have come twice within the group.
    wanted = {run.run_id: run for run in accepted if _target(run, targets) == run.run_id}
    created: set[uuid.UUID] = set()
    if wanted:
        created = await insert(
            tx, environment, list(wanted.values()), parents=parents, changes=changes, effects=effects
        )
    if new_waits:
        await waits.register(tx, environment, new_waits, is_batch=False)
        known = [wait.target_id for wait in new_waits if wait.target_id not in created]
        if known:
            await waits.settle_ended(tx, environment, known, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return [refused or Triggered(_target(run, targets)) for run, refused in zip(runs, refusals, strict=True)]


async def insert(
    tx: Tx,
    environment: Environment,
    runs: Sequence[NewRun],
    *,
    parents: dict[uuid.UUID, ParentRun],
    changes: Changes,
    effects: Effects,
) -> set[uuid.UUID]:
    """Insert runs, each with its live row. One whose id is there already is left as it is.

    Returns:
        The ids that were new.
    """
    wants = [Wanted(run.task, run.queue, run.concurrency_key, run.queue_limit) for run in runs]
    places = await placing.find(tx, environment, list(dict.fromkeys(wants)))
    await _declare_limits(tx, environment, places, changes, effects)
    created = await _insert_runs(tx, **_columns(environment, runs, [places[want] for want in wants], parents))
    for row in created:
        if row.status == "PENDING" and row.line_id is not None:
            changes.pending[row.line_id] += 1
        elif row.status == "DELAYED":
            effects.due_sooner = True
    return {row.run_id for row in created}


async def first_target(tx: Tx, environment: Environment, request_key: str, target: uuid.UUID) -> uuid.UUID:
    """Return what a request made when it was first delivered: ``target``, if that is now."""
    if await _take_keys(tx, env_id=environment.id, keys=[request_key], targets=[target]):
        return target
    used = await _used_keys(tx, env_id=environment.id, keys=[request_key])
    return used[0].target_id if used else target


async def _declare_limits(
    tx: Tx, environment: Environment, places: dict[Wanted, Place], changes: Changes, effects: Effects
) -> None:
    """Honour ``queue: {name, concurrencyLimit}`` where it differs from what is stored."""
    limits = {
        place.queue: want.limit
        for want, place in places.items()
        if want.limit is not None and place.code_limit != want.limit
    }
    if limits:
        await queues.declare_limits(tx, environment, limits, changes=changes, effects=effects)


async def lock_parents(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> dict[uuid.UUID, ParentRun]:
    """Lock the runs in progress from which these are triggered, so that what follows sees them as they stay.

    While they are locked, no other request can register the same wait, and no cancellation can pass over a child.
    """
    asked = {run.parent.run_id for run in runs if run.parent is not None}
    if not asked:
        return {}
    return {row.run_id: row for row in await _lock_parents(tx, env_id=environment.id, run_ids=list(asked))}


def refusal(parent: ParentCall | None, parents: dict[uuid.UUID, ParentRun]) -> ApiError | None:
    """Return why a call from inside a run is refused, or None where it is not."""
    if parent is None:
        return None
    row = parents.get(parent.run_id)
    if parent.epoch is None:
        if row is None:
            return UnprocessableRequest("parentRunId names no run in progress; leave it out, or send a live one")
        return None
    if row is None or not row.is_held or (row.epoch, row.worker_id) != (parent.epoch, parent.worker_id):
        return LeaseLost("the parent run is no longer executed by this worker; stop it")
    return None


async def _targets(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> dict[str, uuid.UUID]:
    """Return, by request key, the run that the first delivery of the request made or is making now."""
    asked: dict[str, uuid.UUID] = {}
    for run in runs:
        if run.request_key is not None:
            asked.setdefault(run.request_key, run.run_id)
    if not asked:
        return {}
    taken = await _take_keys(tx, env_id=environment.id, keys=list(asked), targets=list(asked.values()))
    used = list(asked.keys() - {row.key for row in taken})
    if used:
        asked |= {row.key: row.target_id for row in await _used_keys(tx, env_id=environment.id, keys=used)}
    return asked


def _target(run: NewRun, targets: dict[str, uuid.UUID]) -> uuid.UUID:
    return run.run_id if run.request_key is None else targets[run.request_key]


async def _park(
    tx: Tx,
    environment: Environment,
    runs: Sequence[NewRun],
    targets: dict[str, uuid.UUID],
    *,
    changes: Changes,
) -> list[Wait]:
    asked = []
    for run in runs:
        parent = run.parent
        if parent is None or not parent.waits:
            continue
        assert parent.epoch is not None
        assert parent.worker_id is not None
        target = _target(run, targets)
        asked.append(Wait(parent.run_id, parent.epoch, parent.worker_id, target, parent.call_key))
    return await waits.park(tx, environment, asked, changes=changes) if asked else []


def _columns(
    environment: Environment,
    runs: Sequence[NewRun],
    places: Sequence[Place],
    parents: dict[uuid.UUID, ParentRun],
) -> dict[str, object]:
    related = [None if run.parent is None else parents.get(run.parent.run_id) for run in runs]
    return {
        "env_id": environment.id,
        "ids": [run.run_id for run in runs],
        "tasks": [run.task for run in runs],
        "queues": [place.queue for place in places],
        "keys": [run.concurrency_key for run in runs],
        "lines": [place.line_id for place in places],
        "payloads": [run.payload for run in runs],
        "payload_types": [run.payload_type for run in runs],
        "metadata": [run.metadata for run in runs],
        # Each an array literal: PostgreSQL has no ragged arrays of arrays.
        "tags": [run.tags or "{}" for run in runs],
        "priorities": [run.priority for run in runs],
        "max_attempts": [run.max_attempts for run in runs],
        "max_durations": [run.max_duration for run in runs],
        "delays": [run.delay for run in runs],
        "delay_untils": [run.delay_until for run in runs],
        "tests": [run.is_test for run in runs],
        "parents": [None if parent is None else parent.run_id for parent in related],
        "roots": [None if parent is None else parent.root_id or parent.run_id for parent in related],
        "depths": [0 if parent is None else parent.depth + 1 for parent in related],
        "batches": [run.batch_id for run in runs],
        "awaited": [run.parent is not None and run.parent.waits for run in runs],
        "batch_waits": [run.batch_waits for run in runs],
        "versions": [run.version for run in runs],
        "machines": [
            run.machine or place.task_machine or machines.DEFAULT for run, place in zip(runs, places, strict=True)
        ],
        "regions": [run.region for run in runs],
        "ttls": [_ttl(environment, run, place) for run, place in zip(runs, places, strict=True)],
        "idempotency_keys": [None if run.idempotency is None else run.idempotency.key for run in runs],
        "idempotency_options": [None if run.idempotency is None else run.idempotency.shown_as for run in runs],
    }


def _ttl(environment: Environment, run: NewRun, place: Place) -> datetime.timedelta | None:
    if place.task_id is None:
        # What the task says is not known; as it was asked for, it is looked at again once a worker announces it.
        return run.ttl
    return lifetimes.effective(environment, run.ttl, place.task_ttl)
