"""Steps: results of what a run did itself, kept for when it starts again from the top.

Like the journal of calls, but of local side effects: the result is stored by the run, its attempt and the step's name.
It is looked up only by a run that was started again, and dropped some time after the run has ended.

Life of a run, this module's part::

    api/routes/steps -> steps.record | steps.recall
"""

from typing import Final

import msgspec

from oncue.engine import requests, triggering
from oncue.engine.rows import Environment
from oncue.engine.triggering import ParentRun
from oncue.protocol.work import StepCall
from oncue.store import queries
from oncue.store.pool import Tx

FORGET_AT_ONCE: Final = 1_000
"""Results dropped in one transaction."""


class StepRow(msgspec.Struct, frozen=True):
    """The result of a step, as JSON text."""

    output: str


class Forgotten(msgspec.Struct, frozen=True):
    """How many results were dropped."""

    count: int


_sql = queries.load("steps")
_record = _sql.none("record")
_recall = _sql.maybe("recall", StepRow)
_forget = _sql.one("forget", Forgotten)


async def record(tx: Tx, environment: Environment, call: StepCall, output: bytes) -> None:
    """Keep the result of a step.

    Raises:
        LeaseLost: The run is no longer executed by the worker that asks.
    """
    caller = await _lock_caller(tx, environment, call)
    await _record(
        tx,
        env_id=environment.id,
        run_id=caller.run_id,
        attempt=caller.attempt,
        call_key=call.call_key,
        output=output.decode(),
    )


async def recall(tx: Tx, environment: Environment, call: StepCall) -> bytes | None:
    """Return the result of a step that this attempt has taken before, as JSON; None where it has not.

    Raises:
        LeaseLost: The run is no longer executed by the worker that asks.
    """
    caller = await _lock_caller(tx, environment, call)
    row = await _recall(tx, env_id=environment.id, run_id=caller.run_id, attempt=caller.attempt, call_key=call.call_key)
    return None if row is None else row.output.encode()


async def forget(tx: Tx) -> int:
    """Drop some results of runs that have ended; returns how many."""
    return (await _forget(tx, limit=FORGET_AT_ONCE)).count


async def _lock_caller(tx: Tx, environment: Environment, call: StepCall) -> ParentRun:
    parent = requests.parse_parent(
        call.parent_run_id, call.parent_epoch, call.parent_worker_id, waits=False, call_key=call.call_key
    )
    assert parent is not None
    return await triggering.lock_caller(tx, environment, parent)
