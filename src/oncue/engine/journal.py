"""Journal: a run that starts again from the top finds what its durable calls made before.

A run is started again when its worker was lost or handed it back; that costs no attempt. Each durable call of an
attempt has a key, which the caller counts (``wait:child#2``) or which carries the user's idempotency key. It is stored
with what the call made, so the rows of runs and batches are the journal: nothing is written for it alone. A call that
is made again in the same attempt stands for that run or batch, whatever became of it. An attempt after a failure begins
with nothing.

Life of a run, this module's part::

    triggering.trigger_many, batch_creating.create -> journal.recorded_runs, recorded_batch -> what was made before
"""

import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx


class Caller(msgspec.Struct, frozen=True):
    """An attempt of a run that was started more than once, and a durable call that it makes."""

    run_id: uuid.UUID
    attempt: int
    call_key: str


class RecordedRun(msgspec.Struct, frozen=True):
    """What a durable call made before."""

    parent_id: uuid.UUID
    call_key: str
    run_id: uuid.UUID
    payload: str | None
    payload_type: str


class RecordedBatch(msgspec.Struct, frozen=True):
    """A batch that a durable call made before."""

    id: uuid.UUID
    run_count: int
    is_sealed: bool


_sql = queries.load("journal")
_recorded_runs = _sql.many("recorded_runs", RecordedRun)
_recorded_batch = _sql.maybe("recorded_batch", RecordedBatch)


async def recorded_runs(
    tx: Tx, environment: Environment, callers: Sequence[Caller]
) -> dict[tuple[uuid.UUID, str], RecordedRun]:
    """Return what calls made before, by the run that calls and the call's key. The callers are locked."""
    if not callers:
        return {}
    rows = await _recorded_runs(
        tx,
        env_id=environment.id,
        parents=[caller.run_id for caller in callers],
        attempts=[caller.attempt for caller in callers],
        call_keys=[caller.call_key for caller in callers],
    )
    return {(row.parent_id, row.call_key): row for row in rows}


async def recorded_batch(tx: Tx, environment: Environment, caller: Caller) -> RecordedBatch | None:
    """Return the batch that a call made before, unless that was given up. The caller is locked."""
    return await _recorded_batch(
        tx,
        env_id=environment.id,
        parent_id=caller.run_id,
        attempt=caller.attempt,
        call_key=caller.call_key,
    )
