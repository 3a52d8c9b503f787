"""Realtime: clients subscribe to a run, to runs with tags, or to a batch.

In the subset of the Electric protocol that ``api/electric`` describes: a snapshot first, then requests that are held
until something changes.

Source: wire contract §6.1, §6.2.
"""

import asyncio
import datetime
import re
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from oncue.api import access, electric, named_runs, query_values
from oncue.api.calls import Answer, Call
from oncue.api.feeds import Subscription
from oncue.api.routing import Route
from oncue.api.shapes import BatchRuns, OneRun, Shape, TaggedRuns
from oncue.engine import realtime
from oncue.protocol import durations, ids
from oncue.protocol.errors import BadRequest

_HOLD_SECONDS: Final = 20.0
"""Below the idle timeouts of common proxies. Source: wire contract §6.2."""
_LOOKBACK: Final = datetime.timedelta(days=1)
"""Of a subscription to tags, and the longest. Source: wire contract §6.1."""
_LONGEST: Final = datetime.timedelta(days=7)
"""After so long a subscription to tags begins anew, so that no handle makes us read all there ever was."""
_LEEWAY: Final = datetime.timedelta(minutes=10)
"""For a client that goes on with another server soon after it began; moments are of the full minute as well."""
_BEGINNING: Final = "-1"
_TAG: Final = re.compile(r"[^\x00-\x1f\x7f'\"\\]+")
_HANDLE: Final = re.compile(r"([0-9]{1,11})-[0-9a-f]{16}", re.ASCII)
_COMMON_QUERY: Final = ("offset", "handle", "live", "cursor", "log", "skipColumns")


@named_runs.by_any_name
async def run(call: Call, _: None) -> Answer:
    """Answer who subscribes to a run."""
    shape = OneRun(call.id_of(ids.RUN, "run"))
    return await _answer(call, lambda _: (shape.run.hex, shape))


async def runs(call: Call, _: None) -> Answer:
    """Answer who subscribes to the runs that have all of some tags."""
    query = call.query
    tags = tuple(dict.fromkeys(query_values.several(query, "tags") or ()))
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise BadRequest(f"tags: {tag[:60]!r} holds a quote, a backslash or a control character")
    lookback = _lookback(query)
    # Where it begins the client says anew how far back; elsewhere the handle alone has it.
    furthest = lookback if _is_beginning(query) else _LOOKBACK

    def named(handle: str) -> tuple[str, Shape]:
        """The moment since which runs count stays what it was when the subscription began: the handle has it."""
        known = _HANDLE.fullmatch(handle)
        if known is not None:
            since = datetime.datetime.fromtimestamp(int(known[1]), datetime.UTC)
            shape = TaggedRuns(tags, since)
            # Anybody can write a handle. Of one that is older than a new subscription could be, the feed must be here.
            is_ours = since >= _now() - _LONGEST and call.services.feeds.has(_subscription(call, shape, handle))
            if is_ours or since >= _now() - furthest - _LEEWAY:
                return handle, shape
        since = (_now() - lookback).replace(second=0, microsecond=0)
        return f"{int(since.timestamp())}-{secrets.token_hex(8)}", TaggedRuns(tags, since)

    return await _answer(call, named)


async def batch(call: Call, _: None) -> Answer:
    """Answer who subscribes to a batch."""
    shape = BatchRuns(call.id_of(ids.BATCH, "batch"))
    if call.query.get("live") != "true":
        await call.services.read(lambda tx: realtime.check_batch(tx, call.environment, shape.batch))
    prefix = shape.batch.hex
    form = re.compile(prefix + "-[0-9a-f]{16}", re.ASCII)

    def named(handle: str) -> tuple[str, Shape]:
        return handle if form.fullmatch(handle) else f"{prefix}-{secrets.token_hex(8)}", shape

    return await _answer(call, named)


def _is_beginning(query: Mapping[str, str]) -> bool:
    return query.get("offset", _BEGINNING) == _BEGINNING


def _subscription(call: Call, shape: Shape, handle: str) -> Subscription:
    """Return what a call subscribes to. What its token hides counts instead of what the query skips."""
    token = call.caller.token
    hidden = () if token is None else token.hidden_columns
    skip = electric.skipped(hidden or query_values.several(call.query, "skipColumns") or ())
    return Subscription(call.environment.id, shape, skip, handle)


async def _answer(call: Call, named: Callable[[str], tuple[str, Shape]]) -> Answer:
    """Answer a snapshot, or what changed since.

    Args:
        call: The request.
        named: Returns the handle under which a subscription goes on that has this one, and its shape.
    """
    query = call.query
    given = query.get("handle") or query.get("shape_id") or ""
    handle, shape = named(given)
    is_live = query.get("live") == "true"
    is_beginning = _is_beginning(query)
    if handle != given and not is_beginning:
        # A subscription that we do not know: have it begin anew.
        return Answer(electric.MUST_REFETCH, HTTPStatus.CONFLICT, _headers(call, handle, _BEGINNING))
    wanted = _subscription(call, shape, handle)
    if is_live and not is_beginning:
        return await _follow(call, wanted, query)
    seen = await call.services.feeds.snapshot(wanted, call.owner)
    headers = _headers(call, handle, electric.offset(seen.state, _now()))
    told = ((b"electric-schema", electric.schema(wanted.skip)), (b"electric-up-to-date", b""))
    return Answer(electric.body(seen.shown, "insert"), headers=(*headers, *told))


async def _follow(call: Call, wanted: Subscription, query: Mapping[str, str]) -> Answer:
    before = electric.read_offset(query["offset"])
    gone = asyncio.ensure_future(call.disconnected())
    try:
        seen = await call.services.feeds.follow(wanted, call.owner, before, seconds=_HOLD_SECONDS, gone=gone)
    finally:
        gone.cancel()
    offset = query["offset"] if seen.state == before else electric.offset(seen.state, _now())
    headers = _headers(call, wanted.handle, offset)
    cursor = b"%d" % int(_now().timestamp() * 1000)
    return Answer(
        electric.body(seen.shown, "update"),
        headers=(*headers, (b"electric-cursor", cursor), (b"electric-up-to-date", b"")),
    )


def _headers(call: Call, handle: str, offset: str) -> tuple[tuple[bytes, bytes], ...]:
    headers = (
        (b"cache-control", b"no-store"),
        (b"electric-handle", handle.encode()),
        (b"electric-offset", offset.encode()),
    )
    if call.header(b"x-trigger-electric-version") is not None:
        return headers
    # Clients of version 3 read the names that these had before.
    old = (b"electric-shape-id", handle.encode()), (b"electric-chunk-last-offset", offset.encode())
    return (*headers, *old)


def _lookback(query: Mapping[str, str]) -> datetime.timedelta:
    text = query.get("createdAt")
    if not text:
        return _LOOKBACK
    span = durations.parse(text)
    if span is None:
        raise BadRequest(f"createdAt: found {text[:60]!r}; expected a duration such as 1h, at most 24h")
    return min(span, _LOOKBACK)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


_ERRORS: Final = (HTTPStatus.NOT_FOUND,)
_STATUSES: Final = (HTTPStatus.OK, HTTPStatus.CONFLICT)
"""With messages in the body; 409 says to begin anew."""
_Messages = list[dict[str, Any]]

ROUTES = (
    Route(
        method="GET",
        path="/realtime/v1/runs/{run}",
        handle=run,
        summary="Subscribe to a run",
        needs=access.run_reading,
        answer=_Messages,
        statuses=_STATUSES,
        errors=_ERRORS,
        query=_COMMON_QUERY,
        rate_limited=False,
    ),
    Route(
        method="GET",
        path="/realtime/v1/runs",
        handle=runs,
        summary="Subscribe to runs with tags",
        needs=access.run_following,
        answer=_Messages,
        statuses=_STATUSES,
        errors=_ERRORS,
        query=("tags", "createdAt", *_COMMON_QUERY),
        rate_limited=False,
    ),
    Route(
        method="GET",
        path="/realtime/v1/batches/{batch}",
        handle=batch,
        summary="Subscribe to the runs of a batch",
        needs=access.batch_reading,
        answer=_Messages,
        statuses=_STATUSES,
        errors=_ERRORS,
        query=_COMMON_QUERY,
        rate_limited=False,
    ),
)
