"""Queues: their limits, as code declares them and as operators override them.

The two are stored apart, so a deploy changes the first and never the second. A changed limit takes effect in the
transaction that changes it: lanes are recounted under lock and their lines opened or closed.

Life of a run, this module's part::

    workers.announce, triggering -> queues.declare_limits -> lanes
"""

from collections.abc import Mapping

import msgspec

from oncue.engine import dispatch, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, LineId, RunId
from oncue.store import queries
from oncue.store.pool import Tx


class QueueLimit(msgspec.Struct, frozen=True):
    """A locked queue and its limits."""

    id: int
    name: str
    code_limit: int | None
    override_limit: int | None
    paused: bool


_sql = queries.load("queues")
_make_queues = _sql.none("make_queues")
_lock_queues = _sql.many("lock_queues", QueueLimit)
_write_code_limits = _sql.none("write_code_limits")
_lanes_of_queues = _sql.many("lanes_of_queues", LineId)
_set_slots = _sql.none("set_slots")
_mark_slots = _sql.none("mark_slots")
_count_slots = _sql.none("count_slots")
_resuming_without_limit = _sql.many("resuming_without_limit", RunId)
_open_unlimited = _sql.none("open_unlimited")


async def declare_limits(
    tx: Tx, environment: Environment, limits: Mapping[str, int | None], *, changes: Changes, effects: Effects
) -> None:
    """Record what the code says of queues, making those that are missing.

    Args:
        limits: Queue name to concurrency limit; None: no limit.
    """
    names = sorted(limits)
    await _make_queues(tx, env_id=environment.id, names=names, limits=[limits[name] for name in names])
    locked = await _lock_queues(tx, env_id=environment.id, names=names)
    changed = [queue for queue in locked if queue.code_limit != limits[queue.name]]
    if not changed:
        return
    ids = [queue.id for queue in changed]
    await _write_code_limits(tx, ids=ids, limits=[limits[queue.name] for queue in changed])
    lanes = [row.id for row in await _lanes_of_queues(tx, queue_ids=ids)]
    if lanes:
        await dispatch.lock(tx, lanes=lanes)
        await _set_slots(tx, lanes=lanes)
        await _mark_slots(tx, lanes=lanes)
        # In a later statement, so that runs that were ending are gone.
        await _count_slots(tx, lanes=lanes)
        await _open_unlimited(tx, lanes=lanes)
        free = await _resuming_without_limit(tx, lanes=lanes)
        if free:
            await waits.resume(tx, environment, [row.run_id for row in free], changes=changes, effects=effects)
        # Freeing nothing makes settle() look at the lanes again: grant what there is room for, open and close lines.
        changes.freed.update(dict.fromkeys(lanes, 0))
