"""Subscribing: hear of changes of runs, with what became of them.

A request is held by the server until something changes; what it answers are whole rows, of which runs are made without
asking again. Only what is kept in the object store is fetched, and what an answer had no room for. A subscription
outlives servers that stop and networks that break.

Source: wire contract §6.2.

Life of a run, this module's part::

    runs.subscribe -> Subscription.changed -> api/routes/realtime; -> Subscription.read -> FollowedRun
"""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from oncue.protocol.errors import ApiError, ConnectionFailed, RateLimited, ServerError
from oncue.sdk import execution, flows, packets, requests, retrying, run_rows, settings, transport
from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.connections import HELD
from oncue.sdk.flows import Flow, Send, Sleep
from oncue.sdk.retrying import Policy
from oncue.sdk.run import FollowedRun, Run
from oncue.sdk.run_rows import RunRow

Value = TypeVar("Value")

_TIMEOUT_S: Final = flows.TRANSFER_TIMEOUT_S
"""For an answer with the payloads of 1,000 runs; a server that says nothing for 60 seconds is given up then."""
_ENDLESS: Final = Policy(attempts=1_000_000_000, first_s=0.1, factor=1.3, longest_s=10.0, jitter=True)
"""Source: wire contract §1.3."""
_REFETCH: Final = 409
_BEGINNING: Final = "-1"
_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of large payloads, for each subscription: three of the largest, or sixty of those just too large for a row."""
_PASSING: Final = (ConnectionFailed, RateLimited, ServerError)
"""What a subscription is not given up for."""


class Subscription:
    """What a subscriber has seen."""

    def __init__(self, path: str, query: Sequence[tuple[str, str]] = ()) -> None:
        """Begin with nothing."""
        self._path, self._query = path, [*query, ("skipColumns", run_rows.UNUSED)]
        self._offset, self._handle, self._cursor = _BEGINNING, "", ""
        self._is_live = False
        self._failures = 0
        # An address at which nobody has ever answered is more likely a wrong one; but a run has a server.
        self._is_patient = execution.current.get() is not None
        self._payloads = _Payloads()

    def changed(self) -> Flow[Sequence[RunRow]]:
        """Return the runs that changed, as soon as there are some or the server has held the request for long enough.

        Raises:
            ApiError: The server refuses. One that cannot be reached any more is asked again without end; one that
                never could be is given up, as by any call.
            SettingsError: There is no key.
        """
        where = settings.current()
        while True:
            request = requests.http_request(self._call(), where)
            reply: Answer | NoAnswer = yield Send(request, _TIMEOUT_S, HELD)
            self._is_patient |= isinstance(reply, Answer)
            if isinstance(reply, Answer) and reply.status == 200:  # noqa: PLR2004 - OK
                return self._taken(reply)
            wait = self._wait_after(reply)
            if wait is None:
                raise flows.failure(reply, where)
            yield Sleep(wait)

    def read(self, row: RunRow) -> Flow[FollowedRun]:
        """Return the run that a row stands for, with what is kept of it in the object store.

        What cannot be fetched is None, and its address is told: a look at where a run stands must not fail over that.
        """
        found: dict[str, Any] = {}
        if row.left_out:
            whole = yield from _asked_for(row.friendly_id)
            found = {name: getattr(whole, name) for name in row.left_out.split(",") if whole is not None}
        for name, path in run_rows.stored(row).items():
            kept = self._payloads.get(path)
            fetched, address = (kept, None) if kept is not None else (yield from _fetched(path))
            if fetched is not None:
                found[name] = run_rows.value(*fetched)
                # A payload comes with every change of its run; an output only when there are few to come.
                if name == "payload" and row.completed_at is None:
                    self._payloads.keep(path, *fetched)
            found[f"{name}_presigned_url"] = address
        run = run_rows.run(row)
        return msgspec.structs.replace(run, **found) if found else run

    def _wait_after(self, reply: Answer | NoAnswer) -> float | None:
        """Return how many seconds to wait before asking again; None where that would not help."""
        self._failures += 1
        draw = random.random()  # noqa: S311 - spreads load
        if isinstance(reply, Answer) and reply.status == _REFETCH:
            self._handle = reply.headers.get("electric-handle", "")
            self._offset, self._is_live = _BEGINNING, False
            return _ENDLESS.backoff_s(self._failures, draw)
        policy = _ENDLESS if self._is_patient else retrying.JSON_CALLS
        return retrying.wait_before_retry(reply, self._failures, policy, draw)

    def _call(self) -> requests.Call[None]:
        query = [("log", "full"), ("offset", self._offset), *self._query]
        if self._handle:
            query.append(("handle", self._handle))
        if self._is_live:
            query += [("live", "true"), ("cursor", self._cursor)]
        headers = {"x-trigger-electric-version": "1"}
        return requests.Call("GET", self._path, lambda _: None, query=sorted(query), keyed=False, headers=headers)

    def _taken(self, answer: Answer) -> Sequence[RunRow]:
        try:
            self._offset, self._handle = answer.headers["electric-offset"], answer.headers["electric-handle"]
            rows = run_rows.read(answer.body)
        except (KeyError, msgspec.MsgspecError) as error:
            message = f"the answer to GET {self._path} is no subscription's ({error!r}); does a proxy answer?"
            raise ApiError(message, status=answer.status) from error
        if self._is_live:
            # A beginning that is answered is no success yet: whoever is told to begin anew each time would never pause.
            self._failures = 0
        self._cursor, self._is_live = answer.headers.get("electric-cursor", ""), True
        return rows


class _Payloads:
    """Large payloads that were fetched, the latest of them, since they come with every change of their run."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[msgspec.Raw, str]] = {}
        self._bytes = 0

    def get(self, path: str) -> tuple[msgspec.Raw, str] | None:
        return self._kept.get(path)

    def keep(self, path: str, document: msgspec.Raw, type_: str) -> None:
        if path in self._kept:
            return
        self._kept[path] = document, type_
        self._bytes += len(document)
        while self._bytes > _KEPT_BYTES:
            oldest, _ = self._kept.pop(next(iter(self._kept)))
            self._bytes -= len(oldest)


def to_run(run_id: str) -> Subscription:
    """Subscribe to a run."""
    return Subscription(f"/realtime/v1/runs/{quote(run_id, safe='')}")


def to_tags(tags: Sequence[str], created_within: str | None) -> Subscription:
    """Subscribe to runs with all of some tags."""
    query = [("tags", ",".join(tags))]
    if created_within is not None:
        query.append(("createdAt", created_within))
    return Subscription("/realtime/v1/runs", query)


def to_batch(batch_id: str) -> Subscription:
    """Subscribe to the runs of a batch."""
    return Subscription(f"/realtime/v1/batches/{quote(batch_id, safe='')}")


async def follow(subscription: Subscription, name: str, *, ends: bool) -> AsyncIterator[FollowedRun]:
    """Yield runs as they change, on the running event loop.

    Args:
        subscription: To what.
        name: Of the function that the user called.
        ends: Whether it ends with the first run that has ended: it is about one.
    """
    known: RunRow | None = None
    while True:
        for row in await transport.start(subscription.changed(), name):
            if ends and row == known:
                continue
            known = row
            run = await transport.start(subscription.read(row), name)
            yield run
            if ends and run.is_completed:
                return


def follow_blocking(subscription: Subscription, *, ends: bool) -> Iterator[FollowedRun]:
    """Yield runs as they change, on this thread; see ``follow``."""
    known: RunRow | None = None
    while True:
        for row in transport.run(subscription.changed()):
            if ends and row == known:
                continue
            known = row
            run = transport.run(subscription.read(row))
            yield run
            if ends and run.is_completed:
                return


def _fetched(path: str) -> Flow[tuple[tuple[msgspec.Raw, str] | None, str | None]]:
    """Return a stored document with its type, or else None and the address where it should be, if there is one."""
    address = None
    try:
        address = (yield from _patiently(requests.packet_download(path))).presigned_url
        return (yield from packets.fetched_from(address)), None
    except ApiError:
        return None, address


def _asked_for(run_id: str) -> Flow[Run | None]:
    """Return a run; None where that is refused."""
    try:
        return (yield from _patiently(requests.retrieve_run(run_id, Run)))
    except ApiError:
        return None


def _patiently(call: requests.Call[Value]) -> Flow[Value]:
    """Carry a call out, for as long as it takes; a refusal raises."""
    failures = 0
    while True:
        try:
            return (yield from flows.exchange(call))
        except _PASSING:
            failures += 1
            yield Sleep(_ENDLESS.backoff_s(failures, random.random()))  # noqa: S311 - spreads load
