"""Subscribing: hear of changes of runs, and read what became of them.

A request is held by the server until something changes; what it answers names the runs, which are read as
``runs.retrieve`` reads them. A subscription outlives servers that stop and networks that break.

Source: wire contract §6.2.

Life of a run, this module's part::

    runs.subscribe -> Subscription.changed -> api/routes/realtime; -> polling.retrieve -> Run
"""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from oncue.protocol.errors import ApiError, ConnectionFailed, NotFound, ServerError
from oncue.sdk import flows, polling, requests, settings, transport
from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.connections import HELD
from oncue.sdk.flows import Flow, Send, Sleep
from oncue.sdk.requests import Policy
from oncue.sdk.run import Run

_TIMEOUT_S: Final = 60.0
"""Well above the 23 seconds for which a server holds a request."""
_ENDLESS: Final = Policy(attempts=1_000_000_000, first_s=0.1, factor=1.3, longest_s=10.0, jitter=True)
"""Source: wire contract §1.3."""
_SLOWEST: Final = 40
"""Failures in a row after which the pause grows no more; a power beyond would be no float."""
_REFETCH: Final = 409
_BEGINNING: Final = "-1"
_SKIPPED: Final = ("skipColumns", "payload,output")
"""Read with the run, where they may be fetched from the object store."""


class _Row(msgspec.Struct, rename="camel"):
    friendly_id: str


class _Message(msgspec.Struct):
    value: _Row | None = None


_decode: Final = msgspec.json.Decoder(list[_Message]).decode


class Subscription:
    """What a subscriber has seen."""

    def __init__(self, path: str, query: Sequence[tuple[str, str]] = ()) -> None:
        """Begin with nothing."""
        self._path, self._query = path, [*query, _SKIPPED]
        self._offset, self._handle, self._cursor = _BEGINNING, "", ""
        self._is_live = False

    def changed(self) -> Flow[list[str]]:
        """Return the runs that changed, as soon as there are some or the server has held the request for long enough.

        Raises:
            ApiError: The server refuses; a server that cannot be reached is asked again without end.
            SettingsError: There is no key.
        """
        where = settings.current()
        failures = 0
        while True:
            request = requests.http_request(self._call(), where)
            reply: Answer | NoAnswer = yield Send(request, _TIMEOUT_S, HELD)
            if isinstance(reply, Answer) and reply.status == _REFETCH:
                self._handle = reply.headers.get("electric-handle", "")
                self._offset, self._is_live = _BEGINNING, False
                continue
            if isinstance(reply, Answer) and reply.status == 200:  # noqa: PLR2004 - OK
                return self._taken(reply)
            failures = min(failures + 1, _SLOWEST)
            wait = requests.wait_before_retry(reply, failures, _ENDLESS, random.random())  # noqa: S311 - spreads load
            if wait is None:
                raise flows.failure(reply, where)
            yield Sleep(wait)

    def _call(self) -> requests.Call[None]:
        query = [("log", "full"), ("offset", self._offset), *self._query]
        if self._handle:
            query.append(("handle", self._handle))
        if self._is_live:
            query += [("live", "true"), ("cursor", self._cursor)]
        headers = {"x-trigger-electric-version": "1"}
        return requests.Call("GET", self._path, lambda _: None, query=sorted(query), keyed=False, headers=headers)

    def _taken(self, answer: Answer) -> list[str]:
        try:
            self._offset, self._handle = answer.headers["electric-offset"], answer.headers["electric-handle"]
            messages = _decode(answer.body)
        except (KeyError, msgspec.MsgspecError) as error:
            message = f"the answer to GET {self._path} is no subscription's ({error!r}); does a proxy answer?"
            raise ApiError(message, status=answer.status) from error
        self._cursor, self._is_live = answer.headers.get("electric-cursor", ""), True
        return list(dict.fromkeys(message.value.friendly_id for message in messages if message.value is not None))


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


async def follow(subscription: Subscription, name: str, *, ends: bool) -> AsyncIterator[Run]:
    """Yield runs as they change, on the running event loop.

    Args:
        subscription: To what.
        name: Of the function that the user called.
        ends: Whether it ends with the first run that has ended: it is about one.
    """
    known: Run | None = None
    while True:
        for run_id in await transport.start(subscription.changed(), name):
            run = await transport.start(_read(run_id), name)
            if run is None or (ends and run == known):
                continue
            known = run
            yield run
            if ends and run.is_completed:
                return


def follow_blocking(subscription: Subscription, *, ends: bool) -> Iterator[Run]:
    """Yield runs as they change, on this thread; see ``follow``."""
    known: Run | None = None
    while True:
        for run_id in transport.run(subscription.changed()):
            run = transport.run(_read(run_id))
            if run is None or (ends and run == known):
                continue
            known = run
            yield run
            if ends and run.is_completed:
                return


def _read(run_id: str) -> Flow[Run | None]:
    """Return a run; None where it is no longer kept."""
    while True:
        try:
            found: Any = yield from polling.retrieve(run_id)
        except (ConnectionFailed, ServerError):
            # A subscription is not given up because a server is away.
            yield Sleep(_ENDLESS.longest_s / 10)
        except NotFound:
            return None
        else:
            run: Run = found
            return run
