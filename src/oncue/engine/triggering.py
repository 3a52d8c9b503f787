"""Triggering: requests become runs.

Takes a list, as everything on the hot path does: calls that arrived together share one transaction. A request that
was sent before, told by its run id or its request key, makes nothing new. What a request means was decided before, in
``requests``; here nothing can fail for one item alone but a parent that lost its lease.

Life of a run, this module's part::

    api/coalescing -> triggering.trigger_many -> waits.park, placing.find, insert, dispatch.settle -> Triggered
"""

import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine import dispatch, placing, queues, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.placing import Place, Wanted
from oncue.engine.requests import NewRun
from oncue.engine.rows import Environment
from oncue.engine.waits import Wait
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
_parents = _sql.many("parents", ParentRun)
_insert_runs = _sql.many("insert_runs", Created)


async def trigger_many(
    tx: Tx, environment: Environment, runs: Sequence[NewRun], *, effects: Effects
) -> list[Triggered | ApiError]:
    """Make runs, park the parents that wait for them, and put them in line.

    Returns:
        For each run, in order, what it is or why it was refused.
    """
    changes = Changes()
    repeated = await _repeated(tx, environment, [run for run in runs if run.request_key is not None])
    refused, parents = await check_parents(tx, environment, runs)
    wanted = [run for run in runs if run.request_key not in repeated and not _is_refused(run, refused)]
    new_waits, lost = await _park(tx, environment, wanted, changes=changes)
    refused |= dict.fromkeys(lost, LeaseLost("the parent run is no longer executed by this worker; stop it"))
    wanted = [run for run in wanted if not _is_refused(run, refused)]
    if wanted:
        await insert(tx, environment, wanted, parents=parents, changes=changes, effects=effects)
    if new_waits:
        await waits.register(tx, environment, new_waits, is_batch=False)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return [_answer(run, refused, repeated) for run in runs]


async def insert(
    tx: Tx,
    environment: Environment,
    runs: Sequence[NewRun],
    *,
    parents: dict[uuid.UUID, ParentRun],
    changes: Changes,
    effects: Effects,
) -> int:
    """Insert runs, each with its live row. One whose id is there already is left as it is.

    Returns:
        How many were new.
    """
    wants = [Wanted(run.task, run.queue, run.concurrency_key, run.queue_limit) for run in runs]
    places = await placing.find(tx, environment, list(dict.fromkeys(wants)))
    await _declare_limits(tx, environment, places, changes)
    created = await _insert_runs(tx, **_columns(environment, runs, [places[want] for want in wants], parents))
    for row in created:
        if row.status == "PENDING" and row.line_id is not None:
            changes.pending[row.line_id] += 1
        elif row.status == "DELAYED":
            effects.due_sooner = True
    return len(created)


async def first_target(tx: Tx, environment: Environment, request_key: str, target: uuid.UUID) -> uuid.UUID:
    """Return what a request made when it was first delivered: ``target``, if that is now."""
    if await _take_keys(tx, env_id=environment.id, keys=[request_key], targets=[target]):
        return target
    used = await _used_keys(tx, env_id=environment.id, keys=[request_key])
    return used[0].target_id if used else target


async def _declare_limits(tx: Tx, environment: Environment, places: dict[Wanted, Place], changes: Changes) -> None:
    """Honour ``queue: {name, concurrencyLimit}`` where it differs from what is stored."""
    limits = {
        place.queue: want.limit
        for want, place in places.items()
        if want.limit is not None and place.code_limit != want.limit
    }
    if limits:
        await queues.declare_limits(tx, environment, limits, changes=changes)


async def _repeated(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> dict[str | None, uuid.UUID]:
    """Return, by request key, the runs that an earlier delivery of the same request made."""
    asked = {run.request_key: run.run_id for run in runs}
    if not asked:
        return {}
    taken = await _take_keys(tx, env_id=environment.id, keys=list(asked), targets=list(asked.values()))
    used = list(asked.keys() - {row.key for row in taken})
    if not used:
        return {}
    return {row.key: row.target_id for row in await _used_keys(tx, env_id=environment.id, keys=used)}


async def check_parents(
    tx: Tx, environment: Environment, runs: Sequence[NewRun]
) -> tuple[dict[uuid.UUID, ApiError], dict[uuid.UUID, ParentRun]]:
    """Return the parents that may not trigger, each with why, and what is known of those in progress."""
    asked = {run.parent.run_id: run.parent for run in runs if run.parent is not None}
    if not asked:
        return {}, {}
    found = {row.run_id: row for row in await _parents(tx, env_id=environment.id, run_ids=list(asked))}
    refused: dict[uuid.UUID, ApiError] = {}
    for run, parent in asked.items():
        row = found.get(run)
        if parent.epoch is not None:
            if row is None or (row.epoch, row.worker_id) != (parent.epoch, parent.worker_id):
                refused[run] = LeaseLost("the parent run is no longer executed by this worker; stop it")
        elif row is None:
            refused[run] = UnprocessableRequest(
                "parentRunId names no run in progress; leave it out, or send a live one"
            )
    return refused, found


async def _park(
    tx: Tx, environment: Environment, runs: Sequence[NewRun], *, changes: Changes
) -> tuple[list[Wait], set[uuid.UUID]]:
    asked = []
    for run in runs:
        parent = run.parent
        if parent is None or not parent.waits:
            continue
        assert parent.epoch is not None
        assert parent.worker_id is not None
        asked.append(Wait(parent.run_id, parent.epoch, parent.worker_id, run.run_id, parent.call_key))
    return await waits.park(tx, environment, asked, changes=changes) if asked else ([], set())


def _is_refused(run: NewRun, refused: dict[uuid.UUID, ApiError]) -> bool:
    return run.parent is not None and run.parent.run_id in refused


def _answer(
    run: NewRun, refused: dict[uuid.UUID, ApiError], repeated: dict[str | None, uuid.UUID]
) -> Triggered | ApiError:
    if run.parent is not None and run.parent.run_id in refused:
        return refused[run.parent.run_id]
    return Triggered(repeated.get(run.request_key, run.run_id))


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
        # PostgreSQL has no ragged arrays: a list of lists goes as JSON.
        "tags": [run.tags for run in runs],
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
    }
