"""Reporter: tell the server how runs ended, in groups and in order.

One request is under way at a time; what ends meanwhile goes with the next, so a lone outcome waits for nobody and
many travel together. A group is sent again until the server has answered it: as long as the process lives, no outcome
is lost. One that the server will not have (too large) is replaced by a failure that says so.

Life of a run, this module's part::

    worker/executor -> add -> OutcomesRequest -> engine/attempts
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, Protocol

from oncue import telemetry
from oncue.protocol.errors import ApiError, BadRequest, LeaseLost, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.work import Outcome, OutcomesRequest, OutcomesResponse, Succeeded
from oncue.worker import outcomes
from oncue.worker.outage import Outage

BROKEN_TRIES: Final = 5
"""After so many answers of "internal error" a group is taken apart: about 3 s, longer than a passing fault."""

GROUP: Final = 1_000
"""Outcomes of one request: what one transaction takes well."""

GROUP_BYTES: Final = 8 * 1024 * 1024
"""Outputs of one request; a single larger one travels alone."""

AGAIN_S: Final = 2.0
"""After which an outcome is sent again that could not be recorded while the object store was away."""

MAX_BACKLOG: Final = 2_000
"""Unreported outcomes above which no new runs are claimed."""


class ReportLink(Protocol):
    """What the reporter needs of the server."""

    async def report(self, request: OutcomesRequest, /) -> OutcomesResponse:
        """Say how runs ended."""


class Reporter:
    """The outcomes that the server has not been told; to be used on the worker's event loop only."""

    def __init__(self, link: ReportLink, worker_id: Callable[[], str], unknown: Callable[[], None]) -> None:
        """Begin with none.

        Args:
            link: The server.
            worker_id: Under which identity a request goes out now.
            unknown: Called when the server does not know the worker.
        """
        self._link = link
        self._worker_id = worker_id
        self._unknown = unknown
        self._waiting: deque[Outcome] = deque()
        self._under_way: list[Outcome] = []
        self._held_up: dict[asyncio.Future[None], Outcome | None] = {}
        """Outcomes before which something else has to be done."""
        self._added = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._outage = Outage("outcomes.failed")

    @property
    def backlog(self) -> int:
        """Outcomes that the server has not been told."""
        return len(self._waiting) + len(self._under_way) + len(self._held_up)

    def run_ids(self) -> list[str]:
        """Return the runs whose outcomes the server has not been told."""
        held_up = [outcome for outcome in self._held_up.values() if outcome is not None]
        return [outcome.run_id for outcome in (*self._under_way, *self._waiting, *held_up)]

    def add(self, outcome: Outcome | None, after: Coroutine[Any, Any, None] | None = None, /) -> None:
        """Take an outcome.

        Args:
            outcome: None where nothing is to be reported.
            after: What has to be done first, such as storing what the run has said of itself.
        """
        if after is not None:
            doing = asyncio.ensure_future(after)
            self._held_up[doing] = outcome
            doing.add_done_callback(lambda done: self.add(self._held_up.pop(done)))
            return
        if outcome is not None:
            self._waiting.append(outcome)
        self._added.set()

    async def flushed(self) -> None:
        """Wait until the server has been told everything."""
        while self.backlog:
            self._emptied.clear()
            await self._emptied.wait()

    async def run(self) -> None:
        """Report for ever."""
        while True:
            while not self._waiting:
                self._emptied.set()
                self._added.clear()
                await self._added.wait()
            self._under_way = self._next_group()
            await self._deliver(self._under_way)
            self._under_way = []

    def _next_group(self) -> list[Outcome]:
        group: list[Outcome] = []
        size_bytes = 0
        while self._waiting and len(group) < GROUP:
            outcome = self._waiting[0]
            if isinstance(outcome, Succeeded):
                size_bytes += len(outcome.output)
                if size_bytes > GROUP_BYTES and group:
                    break
            group.append(self._waiting.popleft())
        return group

    async def _deliver(self, group: list[Outcome]) -> None:
        """Send a group until it has been answered; one that is refused, or breaks the server, is sent in halves."""
        broken = 0
        while True:
            try:
                response = await self._link.report(OutcomesRequest(self._worker_id(), group))
            except LeaseLost as error:
                self._lost([outcome.run_id for outcome in group], str(error))
                self._unknown()
                return
            except (BadRequest, PayloadTooLarge, UnprocessableRequest) as error:
                self._outage.over()
                await self._divide(group, error)
                return
            except ApiError as error:
                broken += error.status == HTTPStatus.INTERNAL_SERVER_ERROR
                if broken >= BROKEN_TRIES:
                    # Something in the group is more than the server can take; the others must not wait behind it.
                    self._outage.over()
                    await self._divide(group, error)
                    return
                # Everything else may pass: a server that restarts, a proxy that is set up wrongly, a key that is not
                # known yet.
                await asyncio.sleep(self._outage.failed(error, outcomes=self.backlog))
            else:
                self._outage.over()
                self._lost(response.lost, "another execution counts, or the run was cancelled")
                for outcome in group:
                    if outcome.run_id in response.again:
                        self.add(outcome, asyncio.sleep(AGAIN_S))
                return

    async def _divide(self, group: list[Outcome], error: ApiError) -> None:
        if len(group) > 1:
            half = len(group) // 2
            await self._deliver(group[:half])
            await self._deliver(group[half:])
            return
        instead = outcomes.refused_by_server(group[0], error)
        if instead is None:
            self._lost([group[0].run_id], f"the server refused every outcome: {error}")
        else:
            await self._deliver([instead])

    def _lost(self, run_ids: list[str], reason: str) -> None:
        for run_id in run_ids:
            telemetry.event("attempt.lost", run_id=run_id, reason=reason)
