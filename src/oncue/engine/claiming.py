"""Claiming: what a worker with free places is given next.

Queues take turns, and within a queue its lines; those that have waited longest come first. A turn of a line is one
run, a 25th of the places, or the line's equal part of what its queue has, whichever is most. Beyond ``QUEUES_AT_ONCE``
queues that have something in line, turns are by line alone for those that are not looked at.

Runs of each machine that fits, and runs that are held to none, are looked for one after the other, each in a
transaction: a look locks lanes by id, and two looks would lock them in any order. The lines a look finds may all stand
before full lanes, which closes them, or be held by others: then it is repeated, in a transaction of its own as well,
for to wait for a line while others are locked would be a deadlock in the making.

Life of a run, this module's part::

    api/routes/work -> claiming.claim -> Assignment
"""

import uuid
from typing import Final

import msgspec

from oncue.engine import assignments, room, versions
from oncue.engine.assignments import Claimed
from oncue.engine.events import Effects
from oncue.engine.room import Share, Shares
from oncue.engine.rows import Environment, LineId
from oncue.protocol.errors import LeaseLost
from oncue.protocol.machines import Size
from oncue.protocol.work import Assignment
from oncue.store import queries
from oncue.store.pool import Tx

QUEUES_AT_ONCE: Final = 32
"""Queues among which one claim gives turns."""


class Reach(msgspec.Struct, frozen=True):
    """What a worker may be given."""

    tasks: list[int]
    queues: list[str] | None
    version: str | None
    unlocked: list[int]
    locked: list[int]
    """For each of the unlocked rows that of the worker's version."""
    cpus: float | None
    memory: int | None
    concurrency_limit: int | None
    has_machines: bool
    """Whether runs of the environment were ever held to machines."""


class Look(msgspec.Struct, frozen=True):
    """What one look for runs brought."""

    runs: list[Assignment]
    turn: int | None = None
    """Nothing was handed out, and there is more to look at: look again, from this turn, in a transaction of its own."""
    is_again: bool = False
    """What is to be looked at was looked at before, and yet a line is next: wait for it."""
    leaves_some: bool = False
    """Runs that are held to machines are in line, for which the worker may have room in a moment."""


class Executing(msgspec.Struct, frozen=True):
    """How many runs execute in an environment."""

    executing: int


_sql = queries.load("claiming")
_worker_reach = _sql.maybe("worker_reach", Reach)
_lock_environment = _sql.none("lock_environment")
_count_executing = _sql.one("count_executing", Executing)
_next_line = _sql.maybe("next_line", LineId)
_lock_line = _sql.none("lock_line")
_claim = _sql.many("claim", Claimed)


async def claim(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    *,
    places: int,
    turn: int = 0,
    is_again: bool = False,
    held_first: bool = False,
    effects: Effects,
) -> Look:
    """Hand out the next runs to a worker and lease them.

    A claim may return fewer than ``places`` while more are in line; ask again. Where it says so, look again, in a new
    transaction; every look that waits for the next line serves or closes it, so there is an end.

    Args:
        places: Free places on the worker, 1 to 1,000.
        turn: Of what is to be looked for, 0 at first.
        is_again: Wait for the line that is next, should others hold it.
        held_first: Look for runs that are held to machines before others.
        effects: Gets what others must hear of.

    Returns:
        At most ``places`` assignments. None, and no further ``turn``, if none is due.

    Raises:
        LeaseLost: The worker never announced itself, or was silent for too long.
    """
    reach = await _reach(tx, environment, worker)
    places = await _allowed(tx, environment, reach, places)
    if places <= 0 or not reach.tasks:
        return Look([])
    shares = await _shares(tx, environment, worker, reach, places)
    free = Share(reach.tasks, places)
    turns = [*shares.each, free] if held_first else [free, *shares.each]
    if turn >= len(turns):
        return Look([], leaves_some=shares.leaves_some)
    share = turns[turn]
    following = await _following(tx, environment, reach, share) if is_again else None
    if following is not None:
        # Others may have taken the line's head after our snapshot: with the line locked this look is exact.
        await _lock_line(tx, line_id=following)
    if following is not None or not is_again:
        rows = await _claim_share(tx, environment, worker, reach, share, first=following, is_held=share is not free)
        if rows:
            effects.change(environment, [row.run_id for row in rows])
            return Look([assignments.assignment(row) for row in rows])
        following = await _following(tx, environment, reach, share)
    more = turn if following is not None else turn + 1
    return Look(
        [],
        turn=more if more < len(turns) else None,
        is_again=following is not None,
        leaves_some=shares.leaves_some,
    )


async def _reach(tx: Tx, environment: Environment, worker: uuid.UUID) -> Reach:
    reach = await _worker_reach(tx, worker_id=worker, env_id=environment.id)
    if reach is None:
        raise LeaseLost("this worker is not known (its lease may have run out); announce it again under a new id")
    return reach


async def _allowed(tx: Tx, environment: Environment, reach: Reach, places: int) -> int:
    """Return how many runs may be handed out for so many places."""
    if reach.concurrency_limit is None:
        return places
    # Counted in a later statement: it sees what was claimed by whoever held the lock before us.
    await _lock_environment(tx, env_id=environment.id)
    counted = await _count_executing(tx, env_id=environment.id)
    return min(places, reach.concurrency_limit - counted.executing)


async def _following(tx: Tx, environment: Environment, reach: Reach, share: Share) -> int | None:
    line = await _next_line(tx, env_id=environment.id, tasks=share.tasks, queues=reach.queues)
    return None if line is None else line.id


async def _claim_share(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    reach: Reach,
    share: Share,
    *,
    first: int | None,
    is_held: bool,
) -> list[Claimed]:
    rows = await _claim(
        tx,
        env_id=environment.id,
        worker_id=worker,
        tasks=share.tasks,
        queues=reach.queues,
        places=share.runs,
        first=first,
        version=reach.version,
        unlocked=reach.unlocked,
        locked=reach.locked,
        queues_at_once=QUEUES_AT_ONCE,
    )
    if rows and is_held and reach.version is not None:
        # Rows of tasks for machines are made as they are needed, and so were not known when the worker came.
        await versions.lock(tx, environment, [row.run_id for row in rows], reach.version)
    return rows


async def _shares(tx: Tx, environment: Environment, worker: uuid.UUID, reach: Reach, places: int) -> Shares:
    """Return what the worker may claim of runs that are held to machines."""
    if not reach.has_machines or reach.cpus is None or reach.memory is None or environment.is_development:
        return Shares([], leaves_some=False)
    size = Size(reach.cpus, reach.memory)
    return await room.shares(tx, environment, worker, size, tasks=reach.tasks, queues=reach.queues, places=places)
