"""Poller: ask the server for runs, as many as there are places, and for news.

One claim is under way at a time. A claim that asks for runs is never cancelled, for its answer may hold runs that are
ours already; one that asks for news alone is cancelled as soon as a place is free, since news come again. Where the
answer to a claim got lost, the next one lists every run we know of, so that the server takes back what we never saw.

Life of a run, this module's part::

    engine/claiming -> ClaimResponse -> worker/notices, worker/executor.start
"""

import asyncio
from collections.abc import Callable
from typing import Final

from oncue.protocol import limits
from oncue.protocol.errors import ApiError, ConnectionFailed, LeaseLost, ServerError
from oncue.protocol.work import ClaimRequest, ClaimResponse, HandedBack
from oncue.worker.executor import Executor
from oncue.worker.link import Link
from oncue.worker.notices import Notices
from oncue.worker.outage import Outage
from oncue.worker.places import Places
from oncue.worker.reporter import MAX_BACKLOG, Reporter
from oncue.worker.runs import Session

_NEWS_AFTER_S: Final = 0.1
"""How long a worker without a free place waits for one before it asks for news alone: most runs are done by then, and
the next claim brings the news with it."""

_CHECK_S: Final = 0.05
"""How often a worker that may not claim, although it has places, looks whether it may again."""


class Poller:
    """What keeps the worker busy."""

    def __init__(
        self, link: Link, places: Places, executor: Executor, reporter: Reporter, notices: Notices,
        *, is_suspect: Callable[[], bool], unknown: Callable[[], None],
    ) -> None:  # fmt: skip
        """Wire up.

        Args:
            link: The server.
            places: How many runs to ask for.
            executor: Takes the runs.
            reporter: Where outcomes pile up, no new runs are claimed.
            notices: Takes the news.
            is_suspect: Whether the worker may have lost its lease; then it does not ask for runs.
            unknown: Called when the server does not know the worker.
        """
        self._link = link
        self._places = places
        self._executor = executor
        self._reporter = reporter
        self._notices = notices
        self._is_suspect = is_suspect
        self._unknown = unknown
        self._outage = Outage("claim.failed")
        self._answer_lost = False
        self.takes_runs = True
        """False: ask for news only."""

    async def run(self, session: Session, wait_ms: int) -> None:
        """Poll for ever under one identity.

        Args:
            session: Of the announcement.
            wait_ms: How long a claim may be held open.
        """
        self._answer_lost = False
        while True:
            places = await self._wanted()
            try:
                await self._claim(session, places, wait_ms)
            except LeaseLost:
                self._unknown()
                return
            except ApiError as error:
                failed_on_the_way = isinstance(error, ConnectionFailed | ServerError)
                self._answer_lost = self._answer_lost or (places > 0 and failed_on_the_way)
                await asyncio.sleep(self._outage.failed(error))
            # Let what was started run its first step: what ends at once frees its place for the next claim.
            await asyncio.sleep(0)

    async def _wanted(self) -> int:
        """Return how many runs to ask for; waits a little for that to be more than none."""
        if self.takes_runs and not self._places.free:
            await self._places.until_free(_NEWS_AFTER_S)
        return self._open_places()

    def _open_places(self) -> int:
        if not self.takes_runs or self._is_suspect() or self._reporter.backlog > MAX_BACKLOG:
            return 0
        return min(self._places.free, limits.MAX_PLACES)

    async def _until_open(self) -> None:
        while not self._open_places():
            if self._places.free:
                await asyncio.sleep(_CHECK_S)
            else:
                await self._places.until_free(_CHECK_S)

    async def _claim(self, session: Session, places: int, wait_ms: int) -> None:
        handled = self._notices.handled()
        holding = [*self._executor.runs, *self._reporter.run_ids()] if self._answer_lost else None
        request = ClaimRequest(session.worker_id, places, wait_ms, handled, holding)
        response = await (self._link.claim(request) if places else self._news(request))
        if response is None:
            return
        self._outage.over()
        self._answer_lost = False
        self._notices.confirmed(handled)
        # First the runs that resume, for they take free places before those that start.
        self._notices.receive(response.notices)
        if self.takes_runs:
            self._executor.start(response.assignments, session)
        else:
            for assignment in response.assignments:
                self._reporter.add(HandedBack(assignment.run_id, assignment.epoch))

    async def _news(self, request: ClaimRequest) -> ClaimResponse | None:
        """Ask for news; None where runs can be asked for before there are any."""
        claim = asyncio.ensure_future(self._link.claim(request))
        opened = asyncio.ensure_future(self._until_open())
        try:
            await asyncio.wait((claim, opened), return_when=asyncio.FIRST_COMPLETED)
            return claim.result() if claim.done() else None
        finally:
            claim.cancel()
            opened.cancel()
