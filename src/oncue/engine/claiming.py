"""Claiming: what a worker with free places is given next.

Life of a run, this module's part::

    api/routes/work -> claiming.claim -> Assignment
"""

import random
import uuid
from typing import Final

import msgspec

from oncue.engine import assignments, room, versions
from oncue.engine.assignments import Claimed
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
    again: bool = False
    """Nothing was handed out, and yet a line is next: look again, in a transaction of its own."""
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


async def claim(tx: Tx, environment: Environment, worker: uuid.UUID, *, places: int, is_again: bool = False) -> Look:
    """Hand out the next runs to a worker and lease them.

    Queues take turns, and within a queue its lines; those that have waited longest come first. A turn of a line is one
    run, a 25th of the places, or the line's equal part of what its queue has, whichever is most. Beyond
    ``QUEUES_AT_ONCE`` queues that have something in line, turns are by line alone for those that are not looked at. A
    claim may return fewer than ``places`` while more are in line; ask again.

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
    shares = await _shares(tx, environment, worker, reach, places)
    tasks = [*reach.tasks, *(task for share in shares.each for task in share.tasks)]
    following = None
    if is_again:
        following = await _next_line(tx, env_id=environment.id, tasks=tasks, queues=reach.queues)
        if following is None:
            return Look([], leaves_some=shares.leaves_some)
        # Others may have taken the line's head after our snapshot: with the line locked this look is exact.
        await _lock_line(tx, line_id=following.id)
    rows = await _claim_each(
        tx, environment, worker, reach, shares, places=places, first=None if following is None else following.id
    )
    if rows:
        return Look([assignments.assignment(row) for row in rows])
    following = await _next_line(tx, env_id=environment.id, tasks=tasks, queues=reach.queues)
    return Look([], again=following is not None, leaves_some=shares.leaves_some)


async def _claim_each(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    reach: Reach,
    shares: Shares,
    *,
    places: int,
    first: int | None,
) -> list[Claimed]:
    rows: list[Claimed] = []
    for share in (*shares.each, Share(reach.tasks, places)):
        if len(rows) == places:
            break
        found = await _claim(
            tx,
            env_id=environment.id,
            worker_id=worker,
            tasks=share.tasks,
            queues=reach.queues,
            places=min(share.runs, places - len(rows)),
            first=first,
            version=reach.version,
            unlocked=reach.unlocked,
            locked=reach.locked,
            queues_at_once=QUEUES_AT_ONCE,
        )
        if found and reach.version is not None and share in shares.each:
            # Rows of tasks for machines are made as they are needed, and so were not known when the worker came.
            await versions.lock(tx, environment, [row.run_id for row in found], reach.version)
        rows += found
    return rows


async def _shares(tx: Tx, environment: Environment, worker: uuid.UUID, reach: Reach, places: int) -> Shares:
    """Return what the worker may claim of runs that are held to machines: at most half, so that others have a rest."""
    if not reach.has_machines or reach.cpus is None or reach.memory is None or environment.is_development:
        return Shares([], leaves_some=False)
    most = places // 2 if places > 1 else random.randint(0, 1)  # noqa: S311 - one place cannot be halved
    size = Size(reach.cpus, reach.memory)
    return await room.shares(tx, environment, worker, size, tasks=reach.tasks, queues=reach.queues, places=most)
