"""Queues: their limits, as code declares them and as operators override them, and whether they are paused.

What code and operators say is stored apart, so a deploy changes the first and never the second. A change takes effect
in the transaction that makes it: lanes are recounted under lock and their lines opened or closed.

A paused queue hands out no run. Runs that execute go on to their end, and those of them that wait for others go on when
these have ended: they have begun. A retry begins anew and stays in line. A limit of 0 lets nobody go on.

Life of a run, this module's part::

    workers.announce, placing -> queues.declare_limits -> lanes
    api/routes/queues -> queues.pause, override_limit -> lanes, lines
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from oncue.engine import dispatch, queue_reading, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.queue_reading import QueueRef
from oncue.engine.rows import Environment, LineId, RunId
from oncue.protocol.queues import QueueView
from oncue.store import queries
from oncue.store.pool import Tx


class QueueLimit(msgspec.Struct, frozen=True):
    """A locked queue and its limits."""

    id: int
    name: str
    code_limit: int | None
    override_limit: int | None


class Opened(msgspec.Struct, frozen=True):
    """How many runs became claimable as lines were opened."""

    runs: int


_sql = queries.load("queues")
_make_queues = _sql.none("make_queues")
_lock_queues = _sql.many("lock_queues", QueueLimit)
_write_code_limits = _sql.none("write_code_limits")
_write_override = _sql.none("write_override")
_write_paused = _sql.none("write_paused")
_lanes_of_queues = _sql.many("lanes_of_queues", LineId)
_set_slots = _sql.none("set_slots")
_mark_slots = _sql.none("mark_slots")
_count_slots = _sql.none("count_slots")
_resuming_without_limit = _sql.many("resuming_without_limit", RunId)
_open_unlimited = _sql.one("open_unlimited", Opened)


async def make(tx: Tx, environment: Environment, limits: Mapping[str, int | None]) -> None:
    """Make the queues that are missing.

    Args:
        limits: Queue name to what the code says of its concurrency limit; None: nothing.
    """
    names = sorted(limits)
    await _make_queues(tx, env_id=environment.id, names=names, limits=[limits[name] for name in names])


async def declare_limits(
    tx: Tx,
    environment: Environment,
    limits: Mapping[str, int | None],
    *,
    among: Iterable[str] = (),
    lines: Sequence[int] = (),
    changes: Changes,
    effects: Effects,
) -> None:
    """Record what the code says of queues, making those that are missing.

    Args:
        limits: Queue name to concurrency limit; None: no limit.
        among: Other queues that this transaction needs; they are made and locked as well, in the same order.
        lines: Lines that this transaction changes in the end; where a limit is changed they are locked now.
    """
    await make(tx, environment, dict.fromkeys(among) | dict(limits))
    locked = await _lock_queues(tx, env_id=environment.id, names=sorted({*limits, *among}))
    changed = [queue for queue in locked if queue.name in limits and queue.code_limit != limits[queue.name]]
    if not changed:
        return
    await _write_code_limits(tx, ids=[queue.id for queue in changed], limits=[limits[queue.name] for queue in changed])
    effective = [queue.id for queue in changed if queue.override_limit is None]
    lanes = [row.id for row in await _lanes_of_queues(tx, queue_ids=effective)]
    if lanes:
        await dispatch.lock(tx, lines=[*lines, *changes.pending], lanes=[*lanes, *changes.freed, *changes.resuming])
        await _recount(tx, environment, lanes, changes=changes, effects=effects)


async def override_limit(
    tx: Tx, environment: Environment, queue: QueueRef, limit: int, *, by: str | None = None, effects: Effects
) -> QueueView:
    """Let an operator's limit win over the code's, until it is reset.

    Runs that execute beyond a lower limit go on; no other starts before there is room.

    Args:
        limit: 0 or more, for each concurrency key; 0 holds every run back, also those whose wait is over.
        by: Who does it, where that is known.

    Raises:
        NotFound: There is no such queue.
    """
    found = await queue_reading.find(tx, environment, queue)
    await _write_override(tx, id=found, limit=limit, by=by)
    view = await _settle_limit(tx, environment, found, effects)
    effects.tell("queue.overridden", **_named(view), limit=limit, code_limit=view.concurrency.base)
    return view


async def reset_limit(tx: Tx, environment: Environment, queue: QueueRef, *, effects: Effects) -> QueueView:
    """Let the code's limit hold again; without an override nothing changes.

    Raises:
        NotFound: There is no such queue.
    """
    found = await queue_reading.find(tx, environment, queue)
    await _write_override(tx, id=found, limit=None, by=None)
    view = await _settle_limit(tx, environment, found, effects)
    effects.tell("queue.reset", **_named(view), limit=view.concurrency_limit)
    return view


async def pause(tx: Tx, environment: Environment, queue: QueueRef, *, effects: Effects) -> QueueView:
    """Hand out no run of a queue, until it is resumed.

    Raises:
        NotFound: There is no such queue.
    """
    view = await _set_paused(tx, environment, queue, effects, paused=True)
    effects.tell("queue.paused", **_named(view))
    return view


async def resume(tx: Tx, environment: Environment, queue: QueueRef, *, effects: Effects) -> QueueView:
    """Hand out the runs of a queue again.

    Raises:
        NotFound: There is no such queue.
    """
    view = await _set_paused(tx, environment, queue, effects, paused=False)
    effects.tell("queue.resumed", **_named(view), queued=view.queued)
    return view


async def _set_paused(
    tx: Tx, environment: Environment, queue: QueueRef, effects: Effects, *, paused: bool
) -> QueueView:
    found = await queue_reading.find(tx, environment, queue)
    await _write_paused(tx, id=found, paused=paused)
    lanes = await _lock_lanes(tx, [found])
    if lanes:
        changes = Changes()
        await _reopen(tx, environment, lanes, changes=changes, effects=effects)
        await dispatch.settle(tx, environment, changes, effects=effects)
    return await queue_reading.view(tx, environment, found)


async def _settle_limit(tx: Tx, environment: Environment, queue: int, effects: Effects) -> QueueView:
    lanes = await _lock_lanes(tx, [queue])
    if lanes:
        changes = Changes()
        await _recount(tx, environment, lanes, changes=changes, effects=effects)
        await dispatch.settle(tx, environment, changes, effects=effects)
    return await queue_reading.view(tx, environment, queue)


async def _lock_lanes(tx: Tx, queues: Sequence[int]) -> list[int]:
    """Lock all lines of some queues, which nobody passes on the way to a lane; returns the lanes."""
    lanes = [row.id for row in await _lanes_of_queues(tx, queue_ids=queues)]
    if lanes:
        await dispatch.lock(tx, lanes=lanes)
    return lanes


async def _recount(
    tx: Tx, environment: Environment, lanes: Sequence[int], *, changes: Changes, effects: Effects
) -> None:
    """Have locked lanes follow the limit of their queue, and count afresh who holds a slot."""
    await _set_slots(tx, lanes=lanes)
    await _mark_slots(tx, lanes=lanes)
    # In a later statement, so that runs that were ending are gone.
    await _count_slots(tx, lanes=lanes)
    free = await _resuming_without_limit(tx, lanes=lanes)
    if free:
        await waits.resume(tx, environment, [row.run_id for row in free], changes=changes, effects=effects)
    await _reopen(tx, environment, lanes, changes=changes, effects=effects)


async def _reopen(
    tx: Tx, environment: Environment, lanes: Sequence[int], *, changes: Changes, effects: Effects
) -> None:
    """Have the lines of locked lanes open or close, as the limit and the pause of their queue say."""
    effects.line_up(environment, (await _open_unlimited(tx, lanes=lanes)).runs)
    # Freeing nothing makes settle() look at the lanes again: grant what there is room for, open and close lines.
    changes.freed.update(dict.fromkeys(lanes, 0))


def _named(view: QueueView) -> dict[str, str]:
    return {"queue_id": view.id, "queue": view.name, "type": view.type}
