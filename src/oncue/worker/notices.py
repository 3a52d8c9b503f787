"""Notices: act on what the server has to tell about runs that this worker holds.

A notice comes again with each claim until it has been acknowledged, so each is acted upon once and acknowledged with
the next claim. One that speaks of a run we do not hold, or of another execution of it, is acknowledged all the same:
there is nobody left to be told.

Life of a run, this module's part::

    worker/poller -> receive -> worker/parking (results) | worker/executor (stop)
"""

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from oncue import telemetry
from oncue.protocol.errors import ApiError, BatchTriggerError, ConnectionFailed, RateLimited, ServerError
from oncue.protocol.work import (
    BatchSettled,
    ChildResult,
    ChildSucceeded,
    Notice,
    RunSettled,
    StopRun,
    WaitpointSettled,
)
from oncue.worker.base_execution import Stop
from oncue.worker.executor import Executor
from oncue.worker.outage import Outage
from oncue.worker.runs import HeldRun

PAGE: Final = 1_000
"""Results of a batch that are fetched at once."""


class ResultsLink(Protocol):
    """What notices need of the server."""

    async def batch_results(self, batch_id: str, after: int, limit: int, /) -> list[ChildResult]:
        """Read a page of a batch's results."""


class Notices:
    """The notices that the server has not heard back about; to be used on the worker's event loop only."""

    def __init__(self, link: ResultsLink, executor: Executor) -> None:
        self._link = link
        self._executor = executor
        self._handled: dict[int, None] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        self._outage = Outage("claim.failed")

    def handled(self) -> list[int]:
        """Return the notices to acknowledge."""
        return list(self._handled)

    def confirmed(self, notice_ids: Iterable[int]) -> None:
        """Note that the server has taken acknowledgements: it will not send these again."""
        for notice_id in notice_ids:
            self._handled.pop(notice_id, None)

    def forget(self) -> None:
        """Drop everything: the worker has a new identity, and notices are an identity's own."""
        self._handled.clear()

    def receive(self, notices: Iterable[Notice]) -> None:
        """Act on notices, each once."""
        for notice in notices:
            if notice.notice_id in self._handled:
                continue
            self._handled[notice.notice_id] = None
            run = self._executor.runs.get(notice.run_id)
            if run is not None and run.epoch == notice.epoch and not run.is_over:
                self._act(run, notice)

    def close(self) -> None:
        """Give up what is being fetched."""
        for fetch in self._fetches:
            fetch.cancel()

    def _act(self, run: HeldRun, notice: Notice) -> None:
        match notice:
            case RunSettled(child=child, resumes=resumes):
                kept, size_bytes = _apart(child)
                run.parking.settle(kept.id, kept, size_bytes=size_bytes, resumes=resumes)
            case BatchSettled(aborted=str(reason)):
                error = BatchTriggerError(
                    f"batch {notice.batch_id} was given up: {reason}",
                    phase="stream",
                    item_count=notice.run_count,
                    batch_id=notice.batch_id,
                )
                run.parking.settle(notice.batch_id, None, error=error, resumes=notice.resumes)
            case BatchSettled():
                fetch = run.session.loop.create_task(self._fetch(run, notice))
                self._fetches.add(fetch)
                fetch.add_done_callback(self._fetches.discard)
            case WaitpointSettled(waitpoint_id=waitpoint_id, output=output):
                kept_notice = msgspec.structs.replace(notice, output=output.copy()) if output else notice
                run.parking.settle(waitpoint_id, kept_notice, size_bytes=len(output), resumes=notice.resumes)
            case StopRun(reason=reason):
                telemetry.event("run.stopped", run_id=run.run_id, task=run.task_id, reason=reason)
                self._executor.stop(run, Stop.CANCELLED)

    async def _fetch(self, run: HeldRun, notice: BatchSettled) -> None:
        results: list[ChildResult] = []
        failure: Exception | None = None
        while len(results) < notice.run_count and not run.is_over:
            try:
                page = await self._link.batch_results(notice.batch_id, len(results), PAGE)
            except (ConnectionFailed, ServerError, RateLimited) as error:
                await asyncio.sleep(self._outage.failed(error, batch_id=notice.batch_id))
            except ApiError as error:
                failure = error
                break
            else:
                self._outage.over()
                if not page:
                    break
                results += page
        if not run.is_over:
            size_bytes = sum(len(result.output) for result in results if isinstance(result, ChildSucceeded))
            run.parking.settle(notice.batch_id, results, error=failure, size_bytes=size_bytes, resumes=notice.resumes)


def _apart(child: ChildResult) -> tuple[ChildResult, int]:
    """Return a result that does not hold the whole answer it came with in memory, and its size."""
    if not isinstance(child, ChildSucceeded) or not child.output:
        return child, 0
    return msgspec.structs.replace(child, output=child.output.copy()), len(child.output)
