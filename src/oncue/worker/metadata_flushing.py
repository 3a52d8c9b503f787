"""Metadata flushing: tell the server what a run says of itself.

Within a second of a change, at once where the task asks for it, and before the run's end is reported. One request of a
run is under way at a time, so changes arrive in their order; it is sent with the same key until it is answered, so
none is made twice. What the server will not have is given up alone and said so; what cannot be delivered is kept and
tried again, for an outcome could not be delivered either.

Life of a run, this module's part::

    sdk/metadata_buffer -> MetadataFlusher -> engine/run_metadata        then: Outcome -> worker/reporter
"""

import asyncio
import contextlib
import time
from http import HTTPStatus
from typing import Final

from oncue import telemetry
from oncue.protocol.errors import (
    ApiError,
    BadRequest,
    LeaseLost,
    NotFound,
    PayloadTooLarge,
    RunLost,
    UnprocessableRequest,
)
from oncue.protocol.metadata import MetadataView, Operation
from oncue.sdk import answers, connections, flows, requests, settings
from oncue.sdk.context import RunInfo
from oncue.sdk.metadata_buffer import Group, MetadataBuffer, Target
from oncue.worker.outage import Outage

AFTER_S: Final = 0.8
"""From the first change to its request, so that with the request it is stored within a second."""

TRIES: Final = 5
"""Attempts of a flush that the task waits for, and of one that breaks the server; with their pauses about a second."""

_TIMEOUT_S: Final = 15.0
"""A server that says nothing for so long is taken for dead."""


class MetadataFlusher:
    """One execution's metadata and its way to the server; to be used on the worker's event loop, but for ``buffer``."""

    def __init__(self, run: RunInfo, epoch: int, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with what came with the run; nothing is sent before something changes.

        Args:
            run: What the task is told about its run.
            epoch: Of this execution.
            loop: The worker's.
        """
        self.buffer = MetadataBuffer(
            run.metadata, has_parent=run.parent_id is not None, has_root=run.root_id is not None, wake=self._wake
        )
        """May be used from every thread."""
        self.has_told_stop = False
        """The task has been told, by an error, that it must not go on."""
        self._run_id = run.id
        self._epoch = epoch
        self._loop = loop
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._sender: asyncio.Task[None] | None = None
        self._request: tuple[Group, requests.HttpRequest] | None = None
        self._broken = 0
        self._pause_s = AFTER_S
        self._outage = Outage("metadata.failed")

    async def flush(self, *, refresh: bool) -> None:
        """Send what there is, for a task that waits for it.

        Args:
            refresh: Ask the server for its state, also where there is nothing to send.

        Raises:
            ApiError: A change was refused, or the server could not be reached; then it is tried again later.
            RunLost: The execution no longer counts.
        """
        async with self._turn:
            if refresh:
                self.buffer.ask()
            try:
                refusal = await self._send_all(tries=TRIES)
            except ApiError:
                self._plan()
                raise
        if refusal is not None:
            raise refusal

    async def finish(self) -> None:
        """Send what is left, however long that takes; whatever is refused has been said when it returns."""
        async with self._turn:
            with contextlib.suppress(RunLost):
                await self._send_all(tries=None)

    def _wake(self) -> None:
        """Send in a while; called on any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has gone, and its runs with it
            self._loop.call_soon_threadsafe(self._plan)

    def _plan(self, after_s: float | None = None) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(AFTER_S if after_s is None else after_s, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._sender = self._loop.create_task(self._in_background())

    async def _in_background(self) -> None:
        async with self._turn:
            try:
                await self._send_all(tries=1)
            except ApiError:
                self._plan(self._pause_s)
            except RunLost:
                return

    async def _send_all(self, *, tries: int | None) -> ApiError | None:
        """Send group after group until there is none.

        Args:
            tries: How often to send a group before its failure is raised; None: until it is answered.

        Returns:
            The first refusal by which a change was given up.
        """
        failures, refusal = 0, None
        while (group := self.buffer.next_group()) is not None:
            try:
                view = await self._send(group)
            except LeaseLost as error:
                self._tell_dropped(self.buffer.drop(), error)
                raise RunLost(f"this execution must not go on: {error}") from error
            except (BadRequest, NotFound, PayloadTooLarge, UnprocessableRequest) as error:
                given_up = self._refuse(group, error)
                refusal = refusal or given_up
            except ApiError as error:
                failures += 1
                self._broken += error.status == HTTPStatus.INTERNAL_SERVER_ERROR
                self._pause_s = self._outage.failed(error, run_id=self._run_id)
                if self._broken >= TRIES:
                    # Something in the group is more than the server can take; the run's end must not wait behind it.
                    given_up = self._refuse(group, error)
                    refusal = refusal or given_up
                elif failures == tries:
                    raise
                else:
                    await asyncio.sleep(self._pause_s)
            else:
                self._outage.over()
                self._broken = failures = 0
                self.buffer.settled(view.metadata)
        return refusal

    async def _send(self, group: Group) -> MetadataView:
        where = settings.current()
        call = requests.update_metadata(self._run_id, group.update(self._epoch))
        if self._request is None or self._request[0] is not group:
            # Kept as it is, with its key, so that one whose answer got lost counts once.
            self._request = (group, requests.http_request(call, where))
        answer = await connections.send(self._request[1], _TIMEOUT_S, time.time)
        if isinstance(answer, answers.NoAnswer) or answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            error = flows.failure(answer, where)
            assert isinstance(error, ApiError)
            raise error
        view = requests.parsed(call, answer)
        self._request = None
        return view

    def _refuse(self, group: Group, error: ApiError) -> ApiError | None:
        """Divide a group that was refused; return the error where that gave a change up."""
        self._broken = 0
        self._request = None
        is_last = len(group.entries) < 2  # noqa: PLR2004 - one cannot be divided
        self._tell_dropped(self.buffer.refused(), error)
        return error if is_last else None

    def _tell_dropped(self, entries: list[tuple[Target, Operation]], error: ApiError) -> None:
        for target, operation in entries:
            telemetry.event(
                "metadata.dropped",
                run_id=self._run_id,
                target=target,
                operation=operation.__struct_config__.tag,
                error=type(error).__name__,
                message=str(error),
            )
