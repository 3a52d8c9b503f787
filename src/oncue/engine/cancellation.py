"""Cancellation: end a run that nobody wants any more, and the runs it triggered.

Allowed in every state; a run that has ended stays as it is. The status is final at once, slots are free with the
transaction, and a worker that still executes the run is told to stop; whatever it reports afterwards is refused.

Source: wire contract §8.12.

Life of a run, this module's part::

    api/routes/runs -> cancellation.cancel -> finishing.finish_any -> notices.tell_stop
"""

import uuid
from collections.abc import Sequence

from oncue.engine import dispatch, finishing, notices
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids
from oncue.protocol.errors import NotFound
from oncue.protocol.failures import BuiltInError
from oncue.store import queries
from oncue.store.pool import Tx

_REASON = BuiltInError("TaskRunCancelledError", "Canceled by user")


_sql = queries.load("cancellation")
_exists = _sql.many("exists", RunId)
_lock_runs = _sql.many("lock_runs", RunId)
_lock_children = _sql.many("lock_children", RunId)


async def cancel(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], *, effects: Effects) -> None:
    """Cancel runs and, below them, every run they triggered that is in progress.

    Raises:
        NotFound: One of them is not in the caller's environment.
    """
    known = {row.run_id for row in await _exists(tx, env_id=environment.id, run_ids=runs)}
    for run in runs:
        if run not in known:
            raise NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
    await cancel_if_there(tx, environment, runs, effects=effects)


async def cancel_if_there(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], *, effects: Effects) -> None:
    """Cancel those of some runs that are there, and below them every run they triggered that is in progress."""
    family = await _lock_family(tx, environment, runs)
    if not family:
        return
    changes = Changes()
    ended = await finishing.finish_any(
        tx,
        environment,
        family,
        status="CANCELED",
        error=_REASON,
        changes=changes,
        effects=effects,
    )
    executing = [(row.run_id, row.worker_id, row.epoch) for row in ended if row.worker_id is not None]
    if executing:
        await notices.tell_stop(tx, environment, executing, reason="cancelled")
        effects.noticed.update(worker for _, worker, _ in executing)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)


async def _lock_family(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Lock runs in progress and all below them, a generation at a time.

    A run that triggers is locked by that transaction, so each generation is looked up once its parents can have no
    more children.
    """
    family: dict[uuid.UUID, None] = {}
    generation = [row.run_id for row in await _lock_runs(tx, env_id=environment.id, run_ids=runs)]
    while generation:
        family |= dict.fromkeys(generation)
        children = await _lock_children(tx, env_id=environment.id, parents=generation)
        generation = [row.run_id for row in children if row.run_id not in family]
    return list(family)
