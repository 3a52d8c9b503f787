"""Notices: what a worker has yet to be told about runs it holds.

A notice stays until the worker has acknowledged it, so an answer that is lost on the way loses nothing. Which worker
has to be woken is noted in the caller's ``Effects``.

Life of a run, this module's part::

    dispatch, waits, cancellation -> notices -> api/routes/work -> worker/parking
"""

import uuid
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from oncue.engine import results
from oncue.engine.rows import Environment
from oncue.protocol import codec, ids
from oncue.protocol.work import BatchSettled, Notice, RunSettled, StopRun, WaitpointSettled
from oncue.store import queries
from oncue.store.pool import Tx

PAGE: Final = 500
"""Notices handed over at once; the rest follow with the next claim."""

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Results handed over at once; one that is larger travels alone."""


class NoticeRow(msgspec.Struct, frozen=True):
    """A stored notice with what it speaks of."""

    id: int
    run_id: uuid.UUID
    epoch: int
    kind: Literal["run", "batch", "stop", "waitpoint"]
    target_id: uuid.UUID | None
    resumes: bool
    reason: str | None
    task: str | None
    status: str | None
    output: str | None
    output_type: str | None
    error: str | None
    run_count: int | None
    aborted: str | None
    timed_out: bool


_sql = queries.load("notices")
_tell_settled = _sql.none("tell_settled")
_tell_stop = _sql.none("tell_stop")
_acknowledge = _sql.none("acknowledge")
_waiting_notices = _sql.many("waiting_notices", NoticeRow)


async def tell_settled(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], *, resumes: bool) -> None:
    """Tell the workers of parked runs which of their waits are over.

    Args:
        resumes: The runs hold their slots again and wait for nothing more.
    """
    await _tell_settled(tx, env_id=environment.id, run_ids=runs, resumes=resumes)


async def tell_stop(
    tx: Tx, environment: Environment, stopped: Sequence[tuple[uuid.UUID, uuid.UUID, int]], *, reason: str
) -> None:
    """Tell workers to stop runs, each given as (run, worker, epoch)."""
    await _tell_stop(
        tx,
        env_id=environment.id,
        run_ids=[run for run, _, _ in stopped],
        workers=[worker for _, worker, _ in stopped],
        epochs=[epoch for _, _, epoch in stopped],
        reason=reason,
    )


async def take(tx: Tx, environment: Environment, worker: uuid.UUID, *, acknowledged: Sequence[int]) -> list[Notice]:
    """Return a worker's notices, oldest first, and drop those it has acknowledged.

    At most ``PAGE``, and none once their results have reached ``PAGE_BYTES``; the rest come once these are
    acknowledged.
    """
    if acknowledged:
        await _acknowledge(tx, worker_id=worker, env_id=environment.id, ids=acknowledged)
    rows = await _waiting_notices(tx, worker_id=worker, env_id=environment.id, limit=PAGE, max_bytes=PAGE_BYTES)
    return [_notice(row) for row in rows]


def _notice(row: NoticeRow) -> Notice:
    run = ids.show(ids.RUN, row.run_id)
    match row.kind:
        case "stop":
            return StopRun(row.id, run, row.epoch, row.reason or "")
        case "batch":
            assert row.target_id is not None
            batch = ids.show(ids.BATCH, row.target_id)
            return BatchSettled(row.id, run, row.epoch, batch, row.run_count or 0, row.resumes, row.aborted)
        case "waitpoint":
            assert row.target_id is not None
            return WaitpointSettled(
                row.id,
                run,
                row.epoch,
                ids.show(ids.WAITPOINT, row.target_id),
                row.resumes,
                timed_out=row.timed_out,
                output=codec.NOTHING if row.output is None else msgspec.Raw(row.output.encode()),
                output_type=row.output_type or codec.JSON,
            )
        case "run":
            assert row.target_id is not None
            child = results.child_result(
                row.target_id,
                task=row.task,
                status=row.status,
                output=row.output,
                output_type=row.output_type,
                error=row.error,
            )
            return RunSettled(row.id, run, row.epoch, child, row.resumes)
