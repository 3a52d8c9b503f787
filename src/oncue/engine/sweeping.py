"""Sweeping: every counter held against the rows it stands for, every wait against what it waits for.

Counters and rows change in one transaction, so a single statement's snapshot must show them equal. A difference is a
bug in the engine: it is corrected under lock, so that runs go on, and counted as ``invariant.violated``.
"""

import uuid

import msgspec

from oncue.engine import dispatch, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids
from oncue.store import queries
from oncue.store.pool import Tx


class Violation(msgspec.Struct, frozen=True):
    """A counter that differs from its rows."""

    id: int
    what: str
    counted: int
    found: int


class WrongWaits(msgspec.Struct, frozen=True):
    """A run whose count of waits differs from its waits."""

    run_id: uuid.UUID
    counted: int
    found: int


_sql = queries.load("sweeping")
_find_lanes = _sql.many("find_lanes", Violation)
_find_lines = _sql.many("find_lines", Violation)
_find_waits = _sql.many("find_waits", WrongWaits)
_find_ended = _sql.many("find_ended", RunId)
_correct_lanes = _sql.none("correct_lanes")
_correct_lines = _sql.none("correct_lines")
_correct_waits = _sql.many("correct_waits", RunId)


async def sweep(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    """Find and correct what differs from its rows; returns how much that was."""
    changes = Changes()
    # Lines first: a wait that is corrected makes a run want a slot, which its lane has yet to count.
    found = await _sweep_lines(tx, environment, changes, effects)
    found += await _sweep_waits(tx, environment, changes, effects)
    if found:
        await dispatch.settle(tx, environment, changes, effects=effects)
        effects.line_up(environment, found)
    return found


async def _sweep_waits(tx: Tx, environment: Environment, changes: Changes, effects: Effects) -> int:
    ended = [row.run_id for row in await _find_ended(tx, env_id=environment.id)]
    if ended:
        await waits.settle(tx, environment, ended, changes=changes, effects=effects)
        for target in ended:
            effects.tell("invariant.violated", what="wait.settled_at", id=str(target), counted=0, found=1)
    wrong = await _find_waits(tx, env_id=environment.id)
    if wrong:
        over = await _correct_waits(tx, env_id=environment.id, run_ids=[row.run_id for row in wrong])
        if over:
            await waits.wake(tx, environment, [row.run_id for row in over], changes=changes, effects=effects)
            await waits.resume(tx, environment, [row.run_id for row in over], changes=changes, effects=effects)
        for row in wrong:
            shown = ids.show(ids.RUN, row.run_id)
            effects.tell("invariant.violated", what="live.waits_left", id=shown, counted=row.counted, found=row.found)
    return len(ended) + len(wrong)


async def _sweep_lines(tx: Tx, environment: Environment, changes: Changes, effects: Effects) -> int:
    lanes = await _find_lanes(tx, env_id=environment.id)
    lines = await _find_lines(tx, env_id=environment.id)
    if not lanes and not lines:
        return 0
    await dispatch.lock(tx, lines=[line.id for line in lines], lanes=[lane.id for lane in lanes])
    if lanes:
        await _correct_lanes(tx, ids=[lane.id for lane in lanes])
        # Freeing nothing makes settle() grant what there is room for.
        changes.freed.update(dict.fromkeys((lane.id for lane in lanes), 0))
    if lines:
        await _correct_lines(tx, ids=[line.id for line in lines])
    for violation in (*lanes, *lines):
        effects.tell(
            "invariant.violated",
            what=violation.what,
            id=violation.id,
            counted=violation.counted,
            found=violation.found,
        )
    return len(lanes) + len(lines)
