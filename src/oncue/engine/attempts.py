"""Attempts: what a worker reports becomes the run's next state.

Successes and final failures end the run; a failure with attempts left lines it up again after a wait. Reports are
recorded under the epoch they carry: one from an execution that no longer counts changes nothing.

Life of a run, this module's part::

    worker/reporter -> api/routes/work -> attempts.report -> finishing, or RETRYING_AFTER_FAILURE
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from oncue.engine import dispatch, finishing, placing, retries, unloading, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.finishing import Ending
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.failures import shown
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.status import FinalStatus
from oncue.protocol.work import Ended, Failed, HandedBack, Outcome, OutOfMemory, Succeeded, Unloaded
from oncue.store import queries
from oncue.store.pool import Tx


class FailedAttempt(msgspec.Struct, frozen=True):
    """The attempt that a worker says failed."""

    run_id: uuid.UUID
    attempt: int
    max_attempts: int | None
    machine: str | None
    retry: str | None


class Released(msgspec.Struct, frozen=True):
    """A run that its worker no longer holds, and what it gave back."""

    run_id: uuid.UUID
    line_id: int
    slot_lane: int | None
    has_waited: bool
    was_resuming: bool


class _Next(NamedTuple):
    """An attempt that failed and is followed by another."""

    run: uuid.UUID
    epoch: int
    ran_ms: int
    wait: datetime.timedelta
    machine: str | None
    """Where the run had too little memory; None: the one that it has."""


class _Told(msgspec.Struct):
    """Outcomes by what they ask for."""

    endings: list[Ending]
    failures: list[tuple[uuid.UUID, Failed | OutOfMemory]]
    returned: list[tuple[uuid.UUID, int]]
    unloaded: list[tuple[uuid.UUID, Unloaded]]


_MS: Final = datetime.timedelta(milliseconds=1)

_sql = queries.load("attempts")
_failed_attempts = _sql.many("failed_attempts", FailedAttempt)
_retry = _sql.many("retry", Released)
_hand_back = _sql.many("hand_back", Released)


async def report(
    tx: Tx, environment: Environment, worker: uuid.UUID, outcomes: Sequence[Outcome], *, effects: Effects
) -> list[str]:
    """Record what became of runs that a worker holds.

    Returns:
        The runs it no longer holds, for which nothing was recorded.
    """
    changes = Changes()
    told = _sorted(outcomes)
    lost: set[uuid.UUID] = set()
    if told.failures:
        retried, failed = await _decide(tx, environment, worker, told.failures, effects)
        told.endings += failed
        lost |= await _retry_later(tx, environment, worker, retried, changes=changes, effects=effects)
        effects.due_sooner |= bool(retried)
    if told.unloaded:
        waiting = await unloading.unload(tx, environment, worker, told.unloaded)
        told.returned += [(run, said.epoch) for run, said in told.unloaded if run not in waiting]
        effects.change(environment, waiting)
    if told.returned:
        lost |= await _give_back(tx, environment, worker, told.returned, changes=changes, effects=effects)
    if told.endings:
        lost |= set(
            await finishing.finish_held(tx, environment, worker, told.endings, changes=changes, effects=effects)
        )
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return [ids.show(ids.RUN, run) for run in lost]


def _sorted(outcomes: Sequence[Outcome]) -> _Told:
    told = _Told([], [], [], [])
    for outcome in outcomes:
        run = ids.parse(ids.RUN, outcome.run_id)
        match outcome:
            case Succeeded(epoch=epoch, ran_ms=ran_ms, output=output, output_type=type_):
                text = bytes(output).decode() if output else None
                told.endings.append(Ending(run, epoch, "COMPLETED_SUCCESSFULLY", ran_ms, text, type_))
            case Ended(epoch=epoch, ran_ms=ran_ms, status=status, error=error):
                told.endings.append(Ending(run, epoch, status, ran_ms, error=error))
            case Failed() | OutOfMemory():
                told.failures.append((run, outcome))
            case HandedBack(epoch=epoch):
                told.returned.append((run, epoch))
            case Unloaded():
                told.unloaded.append((run, outcome))
    return told


async def _decide(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    failures: Sequence[tuple[uuid.UUID, Failed | OutOfMemory]],
    effects: Effects,
) -> tuple[list[_Next], list[Ending]]:
    rows = await _failed_attempts(tx, env_id=environment.id, worker_id=worker, run_ids=[run for run, _ in failures])
    held = {row.run_id: row for row in rows}
    retried: list[_Next] = []
    failed: list[Ending] = []
    for run, failure in failures:
        row = held.get(run)
        following = None if row is None else _following(row, failure)
        if row is not None:
            effects.tell(
                "attempt.failed",
                run_id=ids.show(ids.RUN, run),
                attempt=row.attempt,
                error=shown(failure.error).name,
                retry_ms=None if following is None else following.wait // _MS,
            )
        if following is None:
            status: FinalStatus = "CRASHED" if isinstance(failure, OutOfMemory) else "COMPLETED_WITH_ERRORS"
            failed.append(Ending(run, failure.epoch, status, failure.ran_ms, error=failure.error))
        else:
            retried.append(following)
    return retried, failed


def _following(row: FailedAttempt, failure: Failed | OutOfMemory) -> _Next | None:
    """Return the attempt after one that failed, if there is one."""
    policy = None if row.retry is None else msgspec.json.decode(row.retry, type=RetryPolicy)
    wait = retries.wait_after(failure, row.attempt, policy=policy, max_attempts=row.max_attempts)
    machine = retries.machine_after(failure, policy=policy, machine=row.machine)
    if wait is None or (isinstance(failure, OutOfMemory) and machine is None):
        return None
    return _Next(row.run_id, failure.epoch, failure.ran_ms, wait, machine)


async def _retry_later(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    retried: Sequence[_Next],
    *,
    changes: Changes,
    effects: Effects,
) -> set[uuid.UUID]:
    if not retried:
        return set()
    released = await _retry(
        tx,
        env_id=environment.id,
        worker_id=worker,
        run_ids=[following.run for following in retried],
        epochs=[following.epoch for following in retried],
        waits=[following.wait for following in retried],
        ran_ms=[following.ran_ms for following in retried],
        machines=[following.machine for following in retried],
    )
    await _clean_up(tx, environment, released, changes)
    effects.change(environment, [row.run_id for row in released])
    moved = [following.run for following in retried if following.machine is not None]
    if moved:
        await placing.move(tx, environment, moved, changes=changes, effects=effects)
    return {following.run for following in retried} - {row.run_id for row in released}


async def _give_back(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    returned: Sequence[tuple[uuid.UUID, int]],
    *,
    changes: Changes,
    effects: Effects,
) -> set[uuid.UUID]:
    released = await _hand_back(
        tx,
        env_id=environment.id,
        worker_id=worker,
        run_ids=[run for run, _ in returned],
        epochs=[epoch for _, epoch in returned],
    )
    await _clean_up(tx, environment, released, changes)
    changes.pending.update(row.line_id for row in released)
    effects.change(environment, [row.run_id for row in released])
    return {run for run, _ in returned} - {row.run_id for row in released}


async def _clean_up(tx: Tx, environment: Environment, released: Sequence[Released], changes: Changes) -> None:
    changes.freed.update(row.slot_lane for row in released if row.slot_lane is not None)
    await waits.forget(
        tx,
        environment,
        [row.run_id for row in released if row.has_waited],
        resuming_lines=[row.line_id for row in released if row.was_resuming],
        changes=changes,
    )
