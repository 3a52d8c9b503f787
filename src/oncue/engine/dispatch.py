"""Dispatch: who may run next, and who holds a slot.

Everything that changes lines and lanes goes through here: runs joining a line, claims, slots given back, slots given
to runs whose wait is over. Why it is built of lanes and lines, and in which order locks are taken, stands at the head
of ``sql/migrations/0001_initial.sql``.

Life of a run, this module's part::

    triggering, delays, waits, finishing -> dispatch.settle
    api/routes/work -> dispatch.claim -> Assignment
"""

import uuid
from collections import Counter
from collections.abc import Sequence

import msgspec

from oncue.engine import assignments, notices
from oncue.engine.assignments import Claimed
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, LineId
from oncue.protocol.errors import LeaseLost
from oncue.protocol.work import Assignment
from oncue.store import queries
from oncue.store.pool import Tx


class Reach(msgspec.Struct, frozen=True):
    """What a worker may be given."""

    tasks: list[int]
    queues: list[str] | None
    concurrency_limit: int | None


class Look(msgspec.Struct, frozen=True):
    """What one look for runs brought."""

    runs: list[Assignment]
    again: bool = False
    """Nothing was handed out, and yet a line is next: look again, in a transaction of its own."""


class Executing(msgspec.Struct, frozen=True):
    """How many runs execute in an environment."""

    executing: int


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
_worker_reach = _sql.maybe("worker_reach", Reach)
_lock_environment = _sql.none("lock_environment")
_count_executing = _sql.one("count_executing", Executing)
_next_line = _sql.maybe("next_line", LineId)
_lock_line = _sql.none("lock_line")
_claim = _sql.many("claim", Claimed)


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


async def claim(tx: Tx, environment: Environment, worker: uuid.UUID, *, places: int, is_again: bool = False) -> Look:
    """Hand out the next runs to a worker and lease them.

    Lines that have waited longest for a turn come first. A turn is one run, a 25th of the places, or the line's equal
    part of them, whichever is most. A claim may return fewer than ``places`` while more are in line; ask again.

    The lines it looks at may all stand before full lanes, which closes them, or be held by others. Then the caller
    looks again, in a new transaction: to wait for a line while others are locked would be a deadlock in the making.
    Every look that waits for the next line serves or closes it, so there is an end.

    Args:
        places: Free places on the worker, 1 to 1,000.
        is_again: Wait for the line that is next, should others hold it.

    Returns:
        At most ``places`` assignments. None, and not to be looked ``again``, if none is due.

    Raises:
        LeaseLost: The worker never announced itself, or was silent for too long.
    """
    reach = await _worker_reach(tx, worker_id=worker, env_id=environment.id)
    if reach is None:
        raise LeaseLost("this worker is not known (its lease may have run out); announce it again under a new id")
    if reach.concurrency_limit is not None:
        # Counted in a later statement: it sees what was claimed by whoever held the lock before us.
        await _lock_environment(tx, env_id=environment.id)
        counted = await _count_executing(tx, env_id=environment.id)
        places = min(places, reach.concurrency_limit - counted.executing)
    if places <= 0 or not reach.tasks:
        return Look([])
    if is_again:
        following = await _next_line(tx, env_id=environment.id, tasks=reach.tasks, queues=reach.queues)
        if following is None:
            return Look([])
        # Others may have taken the line's head after our snapshot: with the line locked this look is exact.
        await _lock_line(tx, line_id=following.id)
    rows = await _claim(
        tx, env_id=environment.id, worker_id=worker, tasks=reach.tasks, queues=reach.queues, places=places
    )
    if rows:
        return Look([assignments.assignment(row) for row in rows])
    following = await _next_line(tx, env_id=environment.id, tasks=reach.tasks, queues=reach.queues)
    return Look([], again=following is not None)


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
