"""Recovery: what a lost worker held goes on elsewhere.

A worker that was silent for longer than its lease has lost its runs: they go back in line under their old place and
start again from the top under a new epoch, so that nothing the lost process still sends is accepted. That costs no
attempt, but it is counted: a run that loses its worker again and again is ended as CRASHED.

Life of a run, this module's part::

    upkeep -> recovery.recover_lost: EXECUTING, WAITING_TO_RESUME -> PENDING, or CRASHED
    workers.leave -> recovery.release_held
    api/claims, after an answer was lost -> recovery.reclaim
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine import dispatch, finishing, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.failures import InternalError
from oncue.store import queries
from oncue.store.pool import Tx

MAX_RECOVERIES: Final = 5
"""How often a run may lose its worker; then the run itself is the likely cause."""


class LostWorker(msgspec.Struct, frozen=True):
    """A worker whose lease ran out."""

    id: uuid.UUID
    overdue: datetime.timedelta
    """Since the lease ran out."""


class HeldRun(msgspec.Struct, frozen=True):
    """A run that was taken from its worker, and what it gave back."""

    run_id: uuid.UUID
    line_id: int
    slot_lane: int | None
    has_waited: bool
    was_resuming: bool


class HopelessRun(msgspec.Struct, frozen=True):
    """A run that has lost too many workers."""

    run_id: uuid.UUID


class Orphan(msgspec.Struct, frozen=True):
    """A worker that is gone although runs are leased to it."""

    worker_id: uuid.UUID
    runs: int


_sql = queries.load("recovery")
_lost_workers = _sql.many("lost_workers", LostWorker)
_environments_of_lost = _sql.many("environments_of_lost", Environment)
_hopeless = _sql.many("hopeless", HopelessRun)
_take_back = _sql.many("take_back", HeldRun)
_take_unheld = _sql.many("take_unheld", HeldRun)
_forget_workers = _sql.none("forget_workers")
_lock_worker = _sql.none("lock_worker")
_find_orphans = _sql.many("find_orphans", Orphan)


async def environments_of_lost(tx: Tx) -> list[Environment]:
    """Return the environments in which the lease of a worker has run out; one statement for all of them."""
    return await _environments_of_lost(tx)


async def recover_lost(
    tx: Tx, environment: Environment, *, max_recoveries: int = MAX_RECOVERIES, effects: Effects
) -> int:
    """Take runs back from workers whose lease has run out; returns how many workers that were.

    Args:
        max_recoveries: How often a run may lose its worker, 0 or more; once more, and it has crashed.
    """
    workers = await _lost_workers(tx, env_id=environment.id)
    if not workers:
        return 0
    gone = [worker.id for worker in workers]
    changes = Changes()
    hopeless = await _hopeless(tx, env_id=environment.id, workers=gone, recoveries=max_recoveries)
    if hopeless:
        error = InternalError(
            "TASK_RUN_CRASHED",
            f"the worker was lost {_times(max_recoveries + 1)} while this run executed; it is not started again",
        )
        runs = [run.run_id for run in hopeless]
        await finishing.finish_any(
            tx, environment, runs, status="CRASHED", error=error, changes=changes, effects=effects
        )
    taken = await _take(tx, environment, gone, recoveries=1, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    for worker in workers:
        effects.tell(
            "lease.expired",
            worker_id=ids.show(ids.WORKER, worker.id),
            overdue_ms=worker.overdue // datetime.timedelta(milliseconds=1),
            runs=len(taken),
        )
    return len(workers)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


async def release_held(tx: Tx, environment: Environment, worker: uuid.UUID, *, effects: Effects) -> int:
    """Put back in line what a worker that leaves still holds, and forget the worker; returns how many runs."""
    changes = Changes()
    # A claim of its own may be under way. Once the worker is locked that claim has ended, and the statements below,
    # each with a later snapshot, see what it took.
    await _lock_worker(tx, env_id=environment.id, id=worker)
    taken = await _take(tx, environment, [worker], recoveries=0, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return len(taken)


async def recover_orphans(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    """Put back in line what is leased to workers that are gone. There should be none: each is a bug, and counted."""
    orphans = await _find_orphans(tx, env_id=environment.id)
    for orphan in orphans:
        await release_held(tx, environment, orphan.worker_id, effects=effects)
        effects.tell(
            "invariant.violated",
            what="live.worker_id",
            id=ids.show(ids.WORKER, orphan.worker_id),
            counted=orphan.runs,
            found=0,
        )
    return len(orphans)


async def reclaim(
    tx: Tx, environment: Environment, worker: uuid.UUID, *, holding: Sequence[uuid.UUID], effects: Effects
) -> int:
    """Put back in line what a worker was given in an answer that it never got; costs no attempt.

    Args:
        holding: Every run that the worker knows it holds, those whose outcome it has yet to report included.

    Returns:
        How many runs the worker did not know of.
    """
    # A claim may outlive the server that made it: PostgreSQL still commits what a killed one has sent.
    await _lock_worker(tx, env_id=environment.id, id=worker)
    unheld = await _take_unheld(tx, env_id=environment.id, worker_id=worker, holding=holding)
    changes = Changes()
    await _account(tx, environment, unheld, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return len(unheld)


async def _take(
    tx: Tx,
    environment: Environment,
    workers: Sequence[uuid.UUID],
    *,
    recoveries: int,
    changes: Changes,
    effects: Effects,
) -> list[HeldRun]:
    taken = await _take_back(tx, env_id=environment.id, workers=workers, recoveries=recoveries)
    await _account(tx, environment, taken, changes=changes, effects=effects)
    await _forget_workers(tx, env_id=environment.id, workers=workers)
    return taken


async def _account(
    tx: Tx, environment: Environment, taken: Sequence[HeldRun], *, changes: Changes, effects: Effects
) -> None:
    effects.change(environment, [run.run_id for run in taken])
    changes.freed.update(run.slot_lane for run in taken if run.slot_lane is not None)
    changes.pending.update(run.line_id for run in taken)
    await waits.forget(
        tx,
        environment,
        [run.run_id for run in taken if run.has_waited],
        resuming_lines=[run.line_id for run in taken if run.was_resuming],
        changes=changes,
    )
