"""Bulk work: the runs of bulk actions are gone through, a group at a time.

A group is one transaction, in which what is done to its runs, what came of each and how far the action is are written
together: a server that dies leaves whole groups done, and another goes on with the next.

Life of a run, this module's part::

    upkeep.work_in_bulk -> bulk_work.act -> cancellation.cancel_if_there | replaying.replay
"""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from oncue.engine import cancellation, replaying
from oncue.engine.events import Effects
from oncue.engine.replaying import Replay
from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids
from oncue.protocol.bulk_actions import BulkActionType
from oncue.protocol.errors import ApiError
from oncue.protocol.triggers import TriggerOptions, TriggerRequest
from oncue.store import queries
from oncue.store.pool import Tx

GROUP: Final = 100
"""Runs of one transaction."""
_BEFORE_ALL: Final = uuid.UUID(int=0)
"""Not None: statements are planned for any value, and one that might be none would go through all runs each time."""
_AT_ONCE: Final = 50
"""Actions that are looked at in one round."""


class Pending(msgspec.Struct, frozen=True):
    """An action with work left."""

    env_id: int
    id: uuid.UUID


class Action(msgspec.Struct, frozen=True):
    """An action that is locked."""

    id: uuid.UUID
    type: BulkActionType
    region: str | None
    created_at: datetime.datetime
    done_to: uuid.UUID | None


_sql = queries.load("bulk_work")
_pending = _sql.many("pending", Pending)
_take = _sql.maybe("take", Action)
_next_runs = _sql.many("next_runs", RunId)
_cancelled = _sql.many("cancelled", RunId)
_note = _sql.none("note")
_advance = _sql.none("advance")


async def pending(tx: Tx) -> list[Pending]:
    """Return actions with work left, oldest first, and none of an environment before others have had as many."""
    return await _pending(tx, limit=_AT_ONCE)


async def act(tx: Tx, environment: Environment, action_id: uuid.UUID, *, effects: Effects) -> bool:
    """Do an action to its next group of runs; return whether it has work left for this server."""
    action = await _take(tx, env_id=environment.id, id=action_id)
    if action is None:
        return False
    after = action.done_to or _BEFORE_ALL
    chosen = await _next_runs(tx, env_id=environment.id, action_id=action.id, after=after, limit=GROUP)
    group = [row.run_id for row in chosen]
    do = _cancel if action.type == "CANCEL" else _replay
    results = await do(tx, environment, action, group, effects=effects)
    await _note(
        tx,
        env_id=environment.id,
        action_id=action.id,
        run_ids=list(results),
        result_ids=list(results.values()),
    )
    is_last = len(group) < GROUP
    await _advance(
        tx,
        env_id=environment.id,
        id=action.id,
        done_to=group[-1] if group else after,
        succeeded=len(results),
        failed=len(group) - len(results),
        is_last=is_last,
    )
    if is_last:
        effects.tell("bulk.completed", environment=environment.slug, action=ids.show(ids.BULK, action.id))
    return not is_last


async def _cancel(
    tx: Tx, environment: Environment, action: Action, group: Sequence[uuid.UUID], *, effects: Effects
) -> Mapping[uuid.UUID, uuid.UUID]:
    """Cancel runs; return those that are cancelled since the action was made, also with a parent of theirs."""
    await cancellation.cancel_if_there(tx, environment, group, effects=effects)
    done = await _cancelled(tx, env_id=environment.id, run_ids=group, since=action.created_at)
    return {row.run_id: row.run_id for row in done}


async def _replay(
    tx: Tx, environment: Environment, action: Action, group: Sequence[uuid.UUID], *, effects: Effects
) -> Mapping[uuid.UUID, uuid.UUID]:
    """Replay runs; return the replays of those that could be."""
    changes = TriggerRequest(options=TriggerOptions(region=action.region))
    wishes = [Replay(run, changes) for run in group]
    made = await replaying.replay(tx, environment, wishes, effects=effects)
    return {
        run: ids.parse(ids.RUN, replay.id)
        for run, replay in zip(group, made, strict=True)
        if not isinstance(replay, ApiError)
    }
