"""Finishing: the only place that writes a final status.

A run's live row is deleted and its result written in one statement; whoever waited is told in the same transaction.
The deletion is the guard: a run ends once, however many say so.

Life of a run, this module's part::

    attempts, cancellation, recovery -> finishing.finish_* -> waits.settle -> dispatch.settle
"""

import uuid
from collections import Counter
from collections.abc import Sequence

import msgspec

from oncue.engine import batch_links, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.results import stored_error
from oncue.engine.rows import Environment, RunId
from oncue.protocol.failures import RunError
from oncue.protocol.status import FinalStatus
from oncue.store import queries
from oncue.store.pool import Tx


class Ending(msgspec.Struct, frozen=True):
    """How a worker says that a run ended."""

    run_id: uuid.UUID
    epoch: int
    status: FinalStatus
    ran_ms: int
    output: str | None = None
    output_type: str | None = None
    error: RunError | None = None


class Ended(msgspec.Struct, frozen=True):
    """A run that has ended, and what it held."""

    run_id: uuid.UUID
    awaited: bool
    batch_id: uuid.UUID | None
    slot_lane: int | None
    has_waited: bool
    worker_id: uuid.UUID | None
    epoch: int
    line_id: int | None
    was_resuming: bool
    was_pending: bool
    is_linked: bool


class BatchDone(msgspec.Struct, frozen=True):
    """A batch of which runs ended, and whether it is done."""

    id: uuid.UUID
    done: bool


_sql = queries.load("finishing")
_finish_held = _sql.many("finish_held", Ended)
_finish_any = _sql.many("finish_any", Ended)
_recorded_before = _sql.many("recorded_before", RunId)
_count_ended = _sql.many("count_ended", BatchDone)


async def finish_held(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    endings: Sequence[Ending],
    *,
    changes: Changes,
    effects: Effects,
) -> list[uuid.UUID]:
    """End runs that a worker holds, each under the epoch it was given.

    Returns:
        The runs that it no longer held: cancelled, or executed anew elsewhere. One that the same execution had ended
        before (an answer was lost, the outcome sent again) is not among them.
    """
    run_ids = [ending.run_id for ending in endings]
    ended = await _finish_held(
        tx,
        env_id=environment.id,
        worker_id=worker,
        run_ids=run_ids,
        epochs=[ending.epoch for ending in endings],
        statuses=[ending.status for ending in endings],
        outputs=[ending.output for ending in endings],
        output_types=[ending.output_type for ending in endings],
        errors=[None if ending.error is None else stored_error(ending.error) for ending in endings],
        ran_ms=[ending.ran_ms for ending in endings],
        # Bounds let PostgreSQL leave out the partitions of other days before it starts.
        first_id=min(run_ids),
        last_id=max(run_ids),
    )
    await _follow_up(tx, environment, ended, changes=changes, effects=effects)
    if len(ended) == len(endings):
        return []
    missing = {ending.run_id: ending.epoch for ending in endings}
    for row in ended:
        missing.pop(row.run_id, None)
    before = await _recorded_before(tx, env_id=environment.id, run_ids=list(missing), epochs=list(missing.values()))
    return list(missing.keys() - {row.run_id for row in before})


async def finish_any(
    tx: Tx,
    environment: Environment,
    runs: Sequence[uuid.UUID],
    *,
    status: FinalStatus,
    error: RunError,
    changes: Changes,
    effects: Effects,
) -> list[Ended]:
    """End runs from the outside, whatever their state.

    Returns:
        Those that had not ended before.
    """
    ended = await _finish_any(tx, env_id=environment.id, run_ids=runs, status=status, error=stored_error(error))
    await _follow_up(tx, environment, ended, changes=changes, effects=effects)
    return ended


async def count_into_batches(
    tx: Tx, environment: Environment, counts: Counter[uuid.UUID], *, changes: Changes, effects: Effects
) -> None:
    """Count ended runs into their batches, and tell who waits for a batch that is done."""
    rows = await _count_ended(tx, env_id=environment.id, batches=list(counts), counts=list(counts.values()))
    done = [row.id for row in rows if row.done]
    if done:
        await waits.settle(tx, environment, done, changes=changes, effects=effects)


async def _follow_up(
    tx: Tx, environment: Environment, ended: Sequence[Ended], *, changes: Changes, effects: Effects
) -> None:
    effects.change(environment, [row.run_id for row in ended])
    batches = Counter(row.batch_id for row in ended if row.batch_id is not None)
    linked = [row.run_id for row in ended if row.is_linked]
    awaited = [row.run_id for row in ended if row.awaited]
    waited = [row for row in ended if row.has_waited]
    for row in ended:
        if row.slot_lane is not None:
            changes.freed[row.slot_lane] += 1
        if row.was_pending and row.line_id is not None:
            changes.pending[row.line_id] -= 1
    if waited:
        await waits.forget(
            tx,
            environment,
            [row.run_id for row in waited],
            resuming_lines=[row.line_id for row in waited if row.was_resuming and row.line_id is not None],
            changes=changes,
        )
    if linked:
        batches += await batch_links.end(tx, environment, linked)
    if batches:
        await count_into_batches(tx, environment, batches, changes=changes, effects=effects)
    if awaited:
        await waits.settle(tx, environment, awaited, changes=changes, effects=effects)
