"""Triggering: requests become runs.

Takes a list, as everything on the hot path does: calls that arrived together share one transaction. A request that
was sent before, or whose idempotency or debounce key stands for another run, makes nothing new. What a request means
was decided before, in ``requests``; here nothing can fail for one item alone but its parent (it lost its lease, has
ended, or would wait for itself) and a token that was used before.

Life of a run, this module's part::

    api/coalescing -> triggering.trigger_many -> matching.match, waits.park, placing.find, insert, dispatch.settle
                                              -> Triggered
"""

import datetime
import uuid
from collections.abc import Collection, Sequence

import msgspec

from oncue.engine import (
    debouncing,
    dispatch,
    journal,
    lifetimes,
    matching,
    one_time_tokens,
    placing,
    request_keys,
    waits,
)
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.journal import Caller
from oncue.engine.matching import Matches
from oncue.engine.placing import Place, Wanted
from oncue.engine.request_keys import Meant
from oncue.engine.requests import NewRun, ParentCall
from oncue.engine.rows import Environment, RunId
from oncue.engine.waits import Wait
from oncue.protocol import machines, packets
from oncue.protocol.errors import ApiError, CallerCancelled, LeaseLost, UnprocessableRequest
from oncue.store import queries
from oncue.store.pool import Tx


class Triggered(msgspec.Struct, frozen=True):
    """The run that a request stands for."""

    run_id: uuid.UUID
    is_cached: bool = False
    payload_differs: bool = False
    """The call was made before, with another payload, which the run has."""


class ParentRun(msgspec.Struct, frozen=True):
    """A run that triggers from inside."""

    run_id: uuid.UUID
    epoch: int
    worker_id: uuid.UUID | None
    is_held: bool
    """A worker executes it, or it waits there."""
    root_id: uuid.UUID | None
    depth: int
    attempt: int
    version: str | None
    """Of the code that it is locked to."""
    is_version_made: bool
    """No operator named it: it holds for children as far as its workers have their tasks."""
    is_restarted: bool
    """It has been started again from the top, in this attempt or an earlier one."""


class Created(msgspec.Struct, frozen=True):
    """A run that was not there before."""

    run_id: uuid.UUID
    status: str
    line_id: int | None


_sql = queries.load("triggering")
_cancelled_runs = _sql.many("cancelled_runs", RunId)
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
    spent = await one_time_tokens.spent(tx, environment, runs)
    parents = await lock_parents(tx, environment, runs)
    orphaned = await _refusals(tx, environment, [run.parent for run in runs], parents)
    refusals = [first or second for first, second in zip(spent, orphaned, strict=True)]
    accepted = [run for run, refused in zip(runs, refusals, strict=True) if refused is None]
    meant = await _first_meant(tx, environment, accepted)
    first = [_named_as_first(run, meant) for run in accepted]
    named, differing = await _named_as_recorded(tx, environment, first, parents)
    matches = await matching.match(tx, environment, named)
    await _remember_meant(tx, environment, named, matches)
    new_waits = await _park(tx, environment, named, matches, changes=changes, effects=effects)
    # By id: the same request may have come twice within the group.
    wanted = {run.run_id: run for run in named if matches.is_new(run)}
    created: set[uuid.UUID] = set()
    if wanted:
        created = await insert(
            tx, environment, list(wanted.values()), parents=parents, changes=changes, effects=effects
        )
    await debouncing.push(tx, environment, matches.pushes)
    effects.change(environment, [push.run_id for push in matches.pushes])
    await placing.move(tx, environment, debouncing.given_machines(matches.pushes), changes=changes, effects=effects)
    if new_waits:
        await waits.register(tx, environment, new_waits, kind="run")
        known = [wait.target_id for wait in new_waits if wait.target_id not in created]
        if known:
            await waits.settle_ended(tx, environment, known, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    made = iter(named)
    repeated = {key for key, one in meant.items() if one.is_cached}
    return [refused or _triggered(next(made), matches, differing, repeated) for refused in refusals]


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
    runs = [_under_version(run, parents) for run in runs]
    wants = [_wanted(environment, run, parents) for run in runs]
    places = await placing.find(tx, environment, list(dict.fromkeys(wants)), changes=changes, effects=effects)
    created = await _insert_runs(tx, **_columns(environment, runs, [places[want] for want in wants], parents))
    for row in created:
        if row.status == "PENDING" and row.line_id is not None:
            changes.pending[row.line_id] += 1
        elif row.status == "DELAYED":
            effects.due_sooner = True
    ids = {row.run_id for row in created}
    effects.change(environment, ids)
    return ids


async def lock_parents(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> dict[uuid.UUID, ParentRun]:
    """Lock the runs in progress from which these are triggered, so that what follows sees them as they stay.

    While they are locked, no other request can register the same wait, and no cancellation can pass over a child.
    """
    asked = {run.parent.run_id for run in runs if run.parent is not None}
    if not asked:
        return {}
    return {row.run_id: row for row in await _lock_parents(tx, env_id=environment.id, run_ids=list(asked))}


async def lock_caller(tx: Tx, environment: Environment, call: ParentCall) -> ParentRun:
    """Lock the run that a call comes from, whatever it calls.

    Raises:
        LeaseLost: It is no longer executed by the worker that asks.
        UnprocessableRequest: The call names no execution, and no run in progress.
    """
    rows = await _lock_parents(tx, env_id=environment.id, run_ids=[call.run_id])
    parents = {row.run_id: row for row in rows}
    (refused,) = await _refusals(tx, environment, [call], parents)
    if refused is not None:
        raise refused
    return parents[call.run_id]


async def _refusals(
    tx: Tx, environment: Environment, calls: Sequence[ParentCall | None], parents: dict[uuid.UUID, ParentRun]
) -> list[ApiError | None]:
    """Return for each call from inside a run why it is refused, or None where it is not."""
    found = [_refusal(call, parents) for call in calls]
    gone = [call.run_id for call, error in zip(calls, found, strict=True) if call and isinstance(error, LeaseLost)]
    if not gone:
        return found
    # A plain function may call before its worker has heard of it: it is told why it must stop.
    cancelled = {row.run_id for row in await _cancelled_runs(tx, env_id=environment.id, run_ids=gone)}
    return [
        CallerCancelled("the run was cancelled; stop it") if error and call and call.run_id in cancelled else error
        for call, error in zip(calls, found, strict=True)
    ]


def _refusal(parent: ParentCall | None, parents: dict[uuid.UUID, ParentRun]) -> ApiError | None:
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


async def _first_meant(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> dict[str, Meant]:
    """Return what each request meant when it was delivered first."""
    asked: dict[str, uuid.UUID] = {}
    for run in runs:
        if run.request_key is not None:
            asked.setdefault(run.request_key, run.run_id)
    return await request_keys.first_meant(tx, environment, asked)


def _named_as_first(run: NewRun, meant: dict[str, Meant]) -> NewRun:
    if run.request_key is None or meant[run.request_key].target_id == run.run_id:
        return run
    return msgspec.structs.replace(run, run_id=meant[run.request_key].target_id)


async def _remember_meant(tx: Tx, environment: Environment, runs: Sequence[NewRun], matches: Matches) -> None:
    """Have requests that their own keys led to another run lead there when they are delivered again."""
    found = [
        Meant(run.request_key, matches.target(run), is_cached=run.run_id in matches.cached)
        for run in runs
        if run.request_key is not None and not matches.is_new(run)
    ]
    if found:
        await request_keys.point(tx, environment, found)


async def _named_as_recorded(
    tx: Tx, environment: Environment, runs: Sequence[NewRun], parents: dict[uuid.UUID, ParentRun]
) -> tuple[list[NewRun], set[uuid.UUID]]:
    """Give each call that its parent made before, in the same attempt, the id of the run that it made then.

    Returns:
        The calls, and the ids of those whose payload is another one now.
    """
    callers = [caller_of(run.parent, parents) for run in runs]
    asking = list(dict.fromkeys(caller for caller in callers if caller is not None))
    recorded = await journal.recorded_runs(tx, environment, asking)
    if not recorded:
        return list(runs), set()
    named, differing = [], set()
    for run, caller in zip(runs, callers, strict=True):
        before = None if caller is None else recorded.get((caller.run_id, caller.call_key))
        if before is None:
            named.append(run)
            continue
        named.append(msgspec.structs.replace(run, run_id=before.run_id))
        if not packets.are_same(run.payload, run.payload_type, before.payload, before.payload_type):
            differing.add(before.run_id)
    return named, differing


def caller_of(parent: ParentCall | None, parents: dict[uuid.UUID, ParentRun]) -> Caller | None:
    """Return who calls, where the call may have been made before: by a run that was started again."""
    if parent is None or parent.epoch is None or parent.call_key is None:
        return None
    row = parents.get(parent.run_id)
    if row is None or not row.is_restarted:
        return None
    return Caller(row.run_id, row.attempt, parent.call_key)


def _triggered(
    run: NewRun, matches: Matches, differing: Collection[uuid.UUID], repeated: Collection[str]
) -> Triggered | ApiError:
    if _waits_for_itself(run, matches):
        return UnprocessableRequest(
            "the run that waits is the one its idempotency or debounce key stands for, and would wait for itself; "
            "use another key, or trigger without waiting"
        )
    return Triggered(
        matches.target(run),
        is_cached=run.run_id in matches.cached or run.request_key in repeated,
        payload_differs=run.run_id in differing,
    )


def _waits_for_itself(run: NewRun, matches: Matches) -> bool:
    """Whether a key leads a run that waits back to itself."""
    return run.parent is not None and run.parent.waits and matches.target(run) == run.parent.run_id


async def _park(
    tx: Tx,
    environment: Environment,
    runs: Sequence[NewRun],
    matches: Matches,
    *,
    changes: Changes,
    effects: Effects,
) -> list[Wait]:
    asked = []
    for run in runs:
        parent = run.parent
        if parent is None or not parent.waits or _waits_for_itself(run, matches):
            continue
        assert parent.epoch is not None
        assert parent.worker_id is not None
        target = matches.target(run)
        asked.append(Wait(parent.run_id, parent.epoch, parent.worker_id, target, parent.call_key))
    return await waits.park(tx, environment, asked, changes=changes, effects=effects) if asked else []


def _under_version(run: NewRun, parents: dict[uuid.UUID, ParentRun]) -> NewRun:
    """Give a run that its parent waits for the version that the parent is locked to."""
    parent = _leading(run, parents)
    return run if parent is None or parent.is_version_made else msgspec.structs.replace(run, version=parent.version)


def _wanted(environment: Environment, run: NewRun, parents: dict[uuid.UUID, ParentRun]) -> Wanted:
    """Return where a run is to stand."""
    parent = _leading(run, parents)
    softly = parent is not None and parent.is_version_made
    version = parent.version if parent is not None and softly else run.version
    return Wanted(
        run.task,
        run.queue,
        run.concurrency_key,
        run.queue_limit,
        machine=run.machine,
        softly=softly,
        **placing.where(environment, run.region, version),
    )


def _leading(run: NewRun, parents: dict[uuid.UUID, ParentRun]) -> ParentRun | None:
    """Return the parent whose version a run is to have: one that waits for it, where it names none itself."""
    if run.parent is None or run.version is not None or not (run.parent.waits or run.batch_waits):
        return None
    return parents.get(run.parent.run_id)


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
        "machines": [run.machine or _task_machine(place) for run, place in zip(runs, places, strict=True)],
        "regions": [run.region for run in runs],
        "ttls": [_ttl(environment, run, place) for run, place in zip(runs, places, strict=True)],
        "idempotency_keys": [None if run.idempotency is None else run.idempotency.key for run in runs],
        "idempotency_options": [None if run.idempotency is None else run.idempotency.shown_as for run in runs],
        "replayed_from": [run.replayed_from for run in runs],
        "call_keys": [None if run.parent is None else run.parent.call_key for run in runs],
        "parent_attempts": [None if parent is None else parent.attempt for parent in related],
        "open_queues": [run.queue is None and place.task_id is None for run, place in zip(runs, places, strict=True)],
    }


def _task_machine(place: Place) -> str | None:
    """Return the machine of a run whose caller named none; None: nobody knows yet."""
    return None if place.task_id is None else place.task_machine or machines.DEFAULT


def _ttl(environment: Environment, run: NewRun, place: Place) -> datetime.timedelta | None:
    if place.task_id is None:
        # What the task says is not known; as it was asked for, it is looked at again once a worker announces it.
        return run.ttl
    return lifetimes.effective(environment, run.ttl, place.task_ttl)
