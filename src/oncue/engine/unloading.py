"""Unloading: runs that wait without a worker.

A worker may let go of runs that wait: too many of them, too little memory, a deploy. Such a run keeps its status and
its waits, and nobody's memory holds it. When anything that it waits for is there it goes in line and starts again from
the top, where its journal gives it what its calls made before.

Life of a run, this module's part::

    worker/unloading -> Unloaded -> attempts.report -> unloading.unload
    waits.settle -> PENDING
"""

import uuid
from collections.abc import Sequence

from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids
from oncue.protocol.work import Unloaded
from oncue.store import queries
from oncue.store.pool import Tx

_sql = queries.load("unloading")
_lock_waiting_held = _sql.many("lock_waiting_held", RunId)
_unload = _sql.many("unload", RunId)


async def unload(
    tx: Tx, environment: Environment, worker: uuid.UUID, unloaded: Sequence[tuple[uuid.UUID, Unloaded]]
) -> set[uuid.UUID]:
    """Let runs wait without the worker that held them.

    Returns:
        Those that do so now. The others do not wait any more, or something that they wait for has come meanwhile, or
        the worker does not hold them: they are to be handed back.
    """
    locked = await _lock_waiting_held(
        tx,
        env_id=environment.id,
        worker_id=worker,
        run_ids=[run for run, _ in unloaded],
        epochs=[said.epoch for _, said in unloaded],
    )
    if not locked:
        return set()
    held = {row.run_id for row in locked}
    waits = [(run, target) for run, said in unloaded if run in held for target in said.waits_for]
    # Only now, with the runs locked, is it sure that nothing they wait for ends meanwhile.
    kept = await _unload(
        tx,
        env_id=environment.id,
        run_ids=list(held),
        ran_ms=[said.ran_ms for run, said in unloaded if run in held],
        waiting=[run for run, _ in waits],
        targets=[ids.parse_any((ids.RUN, ids.BATCH, ids.WAITPOINT), target) for _, target in waits],
    )
    return {row.run_id for row in kept}
