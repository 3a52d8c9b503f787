"""Giving up: batches that will never be full.

At their caller's wish, or because their items did not come in time. Whoever waits for one is told why; the runs made
of the items that did come go on.

Life of a run, this module's part::

    api/routes/batches, upkeep -> giving_up -> waits.settle -> the parent's BatchTriggerError
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

from oncue.engine import batch_rows, dispatch, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids
from oncue.protocol.errors import UnprocessableRequest
from oncue.protocol.triggers import AbortBatchResponse
from oncue.store import queries
from oncue.store.pool import Tx

SEAL_WITHIN: Final = datetime.timedelta(minutes=30)
"""A batch that is not full by then is given up, an open one when nothing has come for so long. Source: wire contract
§2.3."""


_REASON_CHARS: Final = 500

_sql = queries.load("giving_up")
_abort = _sql.many("abort", RunId)
_overdue = _sql.many("overdue", RunId)


async def abort(
    tx: Tx, environment: Environment, batches: Sequence[uuid.UUID], *, reason: str, effects: Effects
) -> int:
    """Give up batches that are not sealed; whoever waits for one is told why. Runs made of their items go on.

    Returns:
        How many were given up.
    """
    aborted = await _abort(tx, env_id=environment.id, ids=batches, reason=reason)
    if aborted:
        changes = Changes()
        await waits.settle(tx, environment, [row.run_id for row in aborted], changes=changes, effects=effects)
        if changes:
            await dispatch.settle(tx, environment, changes, effects=effects)
    for row in aborted:
        effects.tell("batch.aborted", batch_id=ids.show(ids.BATCH, row.run_id), reason=reason)
    return len(aborted)


async def give_up(
    tx: Tx, environment: Environment, batch: uuid.UUID, *, reason: str, effects: Effects
) -> AbortBatchResponse:
    """Give up a batch at its caller's wish, unless all its items are there.

    Raises:
        UnprocessableRequest: There is no such batch in the caller's environment.
    """
    row = await batch_rows.lock(tx, environment, batch)
    if row is None:
        raise UnprocessableRequest(f"Batch {ids.show(ids.BATCH, batch)} not found")
    if not row.is_sealed:
        await abort(tx, environment, [batch], reason=reason[:_REASON_CHARS].replace("\0", ""), effects=effects)
    return AbortBatchResponse(ids.show(ids.BATCH, batch), row.is_sealed)


async def abort_overdue(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    """Give up batches that were not filled within ``SEAL_WITHIN``; returns how many."""
    overdue = await _overdue(tx, env_id=environment.id, within=SEAL_WITHIN)
    if not overdue:
        return 0
    return await abort(
        tx,
        environment,
        [row.run_id for row in overdue],
        reason=f"not all items had been sent within {SEAL_WITHIN.seconds // 60} minutes",
        effects=effects,
    )
