"""Waits: who waits for what, and what happens when it is there.

A run that waits gives its slots back in the transaction that records the wait, and holds none while anything it waits
for is outstanding. What it waited for settles the wait in the transaction in which it ends: with others outstanding
the worker is told at once; with none left the run takes a slot again, ahead of new work.

A wait is named by its target: a run or a batch. Two calls of one run that wait for the same target share the wait.

Life of a run, this module's part::

    triggering, batches -> waits.park, waits.register
    finishing -> waits.settle -> dispatch.Changes -> dispatch.settle
"""

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from oncue.engine import notices
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, RunId
from oncue.store import queries
from oncue.store.pool import Tx


class Wait(msgspec.Struct, frozen=True):
    """A run asks to wait for a target."""

    run_id: uuid.UUID
    epoch: int
    worker_id: uuid.UUID
    target_id: uuid.UUID
    call_key: str | None


class KnownWait(msgspec.Struct, frozen=True):
    """A wait that is registered already."""

    run_id: uuid.UUID
    target_id: uuid.UUID
    call_key: str | None
    settled: bool


class Parked(msgspec.Struct, frozen=True):
    """A run that waits now, and what it gave back."""

    run_id: uuid.UUID
    slot_lane: int | None
    line_id: int
    was_resuming: bool


class WaitingRun(msgspec.Struct, frozen=True):
    """A run that waits for what has ended."""

    run_id: uuid.UUID
    worker_id: uuid.UUID | None


class Settled(msgspec.Struct, frozen=True):
    """A run of which waits were counted off."""

    run_id: uuid.UUID
    worker_id: uuid.UUID | None
    """None where it was unloaded."""
    waits_left: int


class WokenRun(msgspec.Struct, frozen=True):
    """A run that was unloaded and is in line again."""

    run_id: uuid.UUID
    line_id: int


class ResumedRun(msgspec.Struct, frozen=True):
    """A run with nothing left to wait for."""

    run_id: uuid.UUID
    worker_id: uuid.UUID
    lane_id: int
    unlimited: bool


class LineLane(msgspec.Struct, frozen=True):
    """The limited lane that a line belongs to."""

    line_id: int
    lane_id: int


_sql = queries.load("waits")
_park = _sql.many("park", Parked)
_known_waits = _sql.many("known_waits", KnownWait)
_register = _sql.none("register")
_lock_waiting = _sql.many("lock_waiting", WaitingRun)
_settle = _sql.many("settle", Settled)
_wake = _sql.many("wake", WokenRun)
_resume_unlimited = _sql.many("resume_unlimited", ResumedRun)
_await_targets = _sql.many("await_targets", RunId)
_lanes_of_lines = _sql.many("lanes_of_lines", LineLane)
_forget_waits = _sql.none("forget_waits")


async def park(
    tx: Tx, environment: Environment, waits: Sequence[Wait], *, changes: Changes, effects: Effects
) -> list[Wait]:
    """Let runs wait, and give their slots back. The runs are locked, and held by who asks.

    A request that is sent again finds its wait registered and parks nothing.

    Returns:
        The waits that are new and have to be registered.
    """
    known = {
        (wait.run_id, wait.target_id): wait
        for wait in await _known_waits(
            tx,
            env_id=environment.id,
            run_ids=[wait.run_id for wait in waits],
            target_ids=[wait.target_id for wait in waits],
        )
    }
    new = {(wait.run_id, wait.target_id): wait for wait in waits if _is_new(wait, known)}
    counts = Counter(run for run, _ in new)
    if not counts:
        return []
    parked = await _park(tx, env_id=environment.id, run_ids=list(counts), counts=list(counts.values()))
    changes.freed.update(row.slot_lane for row in parked if row.slot_lane is not None)
    effects.change(environment, counts)
    resuming = [row for row in parked if row.was_resuming]
    if resuming:
        await _stop_resuming(tx, environment, resuming, changes)
    return list(new.values())


async def register(
    tx: Tx, environment: Environment, waits: Sequence[Wait], *, kind: Literal["run", "batch", "waitpoint"]
) -> None:
    """Record what parked runs wait for."""
    await _register(
        tx,
        env_id=environment.id,
        kind=kind,
        run_ids=[wait.run_id for wait in waits],
        target_ids=[wait.target_id for wait in waits],
        epochs=[wait.epoch for wait in waits],
        call_keys=[wait.call_key for wait in waits],
    )


async def settle(
    tx: Tx, environment: Environment, targets: Collection[uuid.UUID], *, changes: Changes, effects: Effects
) -> None:
    """Tell everybody who waits for targets that these have ended."""
    waiting = await _lock_waiting(tx, env_id=environment.id, target_ids=list(targets))
    if not waiting:
        return
    settled = await _settle(tx, env_id=environment.id, target_ids=list(targets))
    unloaded = [row.run_id for row in settled if row.worker_id is None]
    if unloaded:
        await wake(tx, environment, unloaded, changes=changes, effects=effects)
    still = {row.run_id: row.worker_id for row in settled if row.waits_left and row.worker_id is not None}
    if still:
        await notices.tell_settled(tx, environment, list(still), resumes=False)
        effects.noticed.update(still.values())
    over = [row.run_id for row in settled if not row.waits_left and row.worker_id is not None]
    if over:
        await resume(tx, environment, over, changes=changes, effects=effects)


async def settle_ended(
    tx: Tx, environment: Environment, targets: Sequence[uuid.UUID], *, changes: Changes, effects: Effects
) -> None:
    """Settle waits for runs that were there before, as far as these have ended; have the others tell when they do."""
    in_progress = {row.run_id for row in await _await_targets(tx, env_id=environment.id, run_ids=targets)}
    ended = set(targets) - in_progress
    if ended:
        await settle(tx, environment, ended, changes=changes, effects=effects)


async def resume(
    tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], *, changes: Changes, effects: Effects
) -> None:
    """Let runs go on that have nothing left to wait for: at once, or when their lane has a slot for them."""
    going: list[ResumedRun] = []
    for row in await _resume_unlimited(tx, env_id=environment.id, run_ids=runs):
        if row.unlimited:
            going.append(row)
        else:
            changes.resuming[row.lane_id] += 1
    if going:
        await notices.tell_settled(tx, environment, [row.run_id for row in going], resumes=True)
        effects.noticed.update(row.worker_id for row in going)
        effects.change(environment, [row.run_id for row in going])


async def wake(
    tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], *, changes: Changes, effects: Effects
) -> None:
    """Put unloaded runs back in line under their old place: something that they wait for is there.

    One thing is enough: only the run itself can tell whether it goes on after the first of several, and if it does not,
    it waits again for the rest.
    """
    woken = await _wake(tx, env_id=environment.id, run_ids=runs)
    changes.pending.update(row.line_id for row in woken)
    effects.change(environment, [row.run_id for row in woken])
    await forget(tx, environment, [row.run_id for row in woken], resuming_lines=[], changes=changes)


async def forget(
    tx: Tx,
    environment: Environment,
    runs: Sequence[uuid.UUID],
    *,
    resuming_lines: Sequence[int],
    changes: Changes,
) -> None:
    """Drop the waits of runs that end or start again.

    Args:
        resuming_lines: The line of each of them whose waits were over but who had no slot yet.
    """
    if runs:
        await _forget_waits(tx, env_id=environment.id, run_ids=runs)
    if resuming_lines:
        await _count_resuming(tx, resuming_lines, changes)


async def _stop_resuming(tx: Tx, environment: Environment, parked: Sequence[Parked], changes: Changes) -> None:
    """A run in line for its slot waits again: it leaves that line, and gets at once what it had waited for."""
    await _count_resuming(tx, [row.line_id for row in parked], changes)
    await notices.tell_settled(tx, environment, [row.run_id for row in parked], resumes=False)


async def _count_resuming(tx: Tx, lines: Sequence[int], changes: Changes) -> None:
    lanes = {row.line_id: row.lane_id for row in await _lanes_of_lines(tx, lines=list(set(lines)))}
    for line in lines:
        if line in lanes:
            changes.resuming[lanes[line]] -= 1


def _is_new(wait: Wait, known: dict[tuple[uuid.UUID, uuid.UUID], KnownWait]) -> bool:
    before = known.get((wait.run_id, wait.target_id))
    # Waiting once more for what has ended is a new wait; the same call sent again is not.
    return before is None or (before.settled and before.call_key != wait.call_key)
