"""Dispatch: who stands in line, and who holds a slot.

What changes lines and lanes, but for claims, goes through here: runs joining a line, slots given back, slots given to
runs whose wait is over. Why it is built of lanes and lines, and in which order locks are taken, stands at the head
of ``sql/migrations/0001_initial.sql``.

Life of a run, this module's part::

    triggering, delays, waits, finishing -> dispatch.settle
"""

import uuid
from collections import Counter
from collections.abc import Sequence

import msgspec

from oncue.engine import notices
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, LineId
from oncue.store import queries
from oncue.store.pool import Tx


class Lane(msgspec.Struct, frozen=True):
    """A locked lane that has a limit."""

    id: int
    slots: int
    running: int
    resuming: int


class Granted(msgspec.Struct, frozen=True):
    """A run whose wait is over and that has its slot again."""

    env_id: int
    run_id: uuid.UUID
    worker_id: uuid.UUID
    epoch: int
    lane_id: int


_sql = queries.load("dispatch")
_lock_lines = _sql.none("lock_lines")
_lock_lanes = _sql.many("lock_lanes", Lane)
_line_up = _sql.many("line_up", LineId)
_grant_slots = _sql.many("grant_slots", Granted)
_write_lanes = _sql.none("write_lanes")


class Changes:
    """What a transaction does to lines and lanes, gathered so that all of them are locked once and in order.

    Attributes:
        pending: Line id to runs that join (or, negative, leave) it.
        freed: Lane id to slots given back.
        resuming: Lane id to runs that now want a slot again after a wait (or, negative, no longer do).
    """

    __slots__ = ("freed", "pending", "resuming")

    def __init__(self) -> None:
        self.pending: Counter[int] = Counter()
        self.freed: Counter[int] = Counter()
        self.resuming: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return bool(self.pending or self.freed or self.resuming)


async def settle(tx: Tx, environment: Environment, changes: Changes, *, effects: Effects) -> None:
    """Carry out what a transaction does to lines and lanes. Call it last: it takes the most wanted locks.

    Slots that are free go first to runs whose wait is over, in line order; their workers get a notice.
    """
    lanes = list(changes.freed.keys() | changes.resuming.keys())
    lines = list(changes.pending)
    if lanes or len(lines) > 1:
        await _lock_lines(tx, lines=lines, lanes=lanes)
    if lanes:
        await _settle_lanes(tx, environment, lanes, changes, effects)
        effects.line_up(environment, sum(changes.freed.values()))
    if lines:
        await _line_up(tx, lines=lines, counts=list(changes.pending.values()))
        effects.line_up(environment, sum(changes.pending.values()))


async def lock(tx: Tx, *, lines: Sequence[int] = (), lanes: Sequence[int] = ()) -> None:
    """Lock lines, and all lines of some lanes, before pending runs are taken out or limits change."""
    await _lock_lines(tx, lines=lines, lanes=lanes)


async def _settle_lanes(
    tx: Tx, environment: Environment, ids: Sequence[int], changes: Changes, effects: Effects
) -> None:
    lanes = await _lock_lanes(tx, lanes=ids)
    running = {lane.id: lane.running - changes.freed[lane.id] for lane in lanes}
    resuming = {lane.id: lane.resuming + changes.resuming[lane.id] for lane in lanes}
    room = {lane.id: min(lane.slots - running[lane.id], resuming[lane.id]) for lane in lanes}
    # A limit that was lifted since: there is room for all who want to go on, and nobody else will let them.
    room |= {lane: changes.resuming[lane] for lane in ids if lane not in running}
    granting = {lane: count for lane, count in room.items() if count > 0}
    if granting:
        granted = await _grant_slots(tx, lanes=list(granting), counts=list(granting.values()))
        for run in granted:
            if run.lane_id in running:
                running[run.lane_id] += 1
                resuming[run.lane_id] -= 1
            effects.noticed.add(run.worker_id)
            effects.changed[run.env_id].append(run.run_id)
        await notices.tell_settled(tx, environment, [run.run_id for run in granted], resumes=True)
    if not lanes:
        return
    # Where room appeared without a run having ended: a limit was raised, or a run no longer wants to go on.
    effects.line_up(
        environment,
        sum(max(0, lane.slots - running[lane.id] - resuming[lane.id]) for lane in lanes if not changes.freed[lane.id]),
    )
    await _write_lanes(
        tx,
        lanes=list(running),
        running=list(running.values()),
        resuming=[resuming[lane] for lane in running],
    )
