"""Auth: public access tokens, with which a page in a browser may do what they say and nothing else.

Asked for with a secret key, so on a server of yours; handed to the page. What is triggered hands out a token for
itself: ``handle.public_access_token``.

Example::

    token = await auth.create_public_token({"read": {"runs": handle.id}}, expiration_time="1h")
    token = await auth.create_trigger_public_token("send-feedback")
"""

import datetime
import math
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict

from oncue.protocol import durations, limits, scopes
from oncue.protocol.durations import Duration
from oncue.protocol.public_tokens import PublicTokenRequest, PublicTokenResponse, Realtime
from oncue.sdk import flows, requests, transport
from oncue.sdk.flows import Flow
from oncue.sdk.handles import BatchHandle
from oncue.sdk.options import unknown
from oncue.sdk.run_refs import RunRef
from oncue.sdk.task import Task
from oncue.sdk.tokens import Token

TaskRef: TypeAlias = str | Task[Any, Any]
"""A task, or its id."""
BatchRef: TypeAlias = str | BatchHandle[Any]
"""A batch's handle, or its id."""


class Resources(TypedDict, total=False):
    """What an action is allowed on: one thing or several, or True for all of a type."""

    runs: RunRef | Sequence[RunRef] | bool
    tasks: TaskRef | Sequence[TaskRef] | bool
    """With ``read`` and ``write``: the runs of a task."""
    tags: str | Sequence[str] | bool
    """The runs with a tag."""
    batch: BatchRef | Sequence[BatchRef] | bool
    """A batch, and its runs."""
    queues: bool
    waitpoints: str | Token | Sequence[str | Token] | bool
    """Tokens that runs wait for; ``write`` completes them."""
    input_streams: RunRef | Sequence[RunRef] | bool


class Scopes(TypedDict, total=False):
    """What a token allows: an action, and on what."""

    read: Resources
    write: Resources
    trigger: Resources
    batch_trigger: Resources
    admin: bool
    """Everything that a token may do at all."""


class Hidden(TypedDict, total=False):
    """What subscriptions that are made with a token are not shown."""

    skip_columns: Sequence[str]


def create_public_token(
    scopes: Scopes | Sequence[str],
    *,
    expiration_time: Duration | datetime.datetime | None = None,
    one_time_use: bool = False,
    realtime: Hidden | None = None,
) -> Coroutine[Any, Any, str]:
    """Make a token.

    Args:
        scopes: What it allows, ``{"read": {"runs": [...], "tags": "user:1"}}``, or scopes as they are written,
            ``["read:runs:run_..."]``.
        expiration_time: How long it counts (``"1h"``, seconds, a timedelta), or until when (an aware datetime); at most
            30 days. 15 minutes unless said.
        one_time_use: It makes one run or one batch.
        realtime: ``{"skip_columns": [...]}``: what subscriptions with it are not shown, by the names that
            ``FollowedRun`` has: ``payload``, ``output``, ``metadata``, ``tags``, ``error`` and others.

    Raises:
        TypeError: There is no such action or type.
        ValueError: An id is blank, or the time makes no sense.

    Example::

        token = await auth.create_public_token({"read": {"runs": handle}}, expiration_time="1h")
    """
    return transport.start(_create(scopes, expiration_time, one_time_use, realtime), "auth.create_public_token")


def create_trigger_public_token(
    task: TaskRef | Sequence[TaskRef],
    *,
    multiple_use: bool = False,
    expiration_time: Duration | datetime.datetime | None = None,
    realtime: Hidden | None = None,
) -> Coroutine[Any, Any, str]:
    """Make a token that triggers one of these tasks, once.

    Args:
        task: A task or its id, or several.
        multiple_use: It may be used any number of times.
        expiration_time: As for ``create_public_token``.
        realtime: As for ``create_public_token``.

    Raises:
        ValueError: A task's id is blank, or the time makes no sense.

    Example::

        token = await auth.create_trigger_public_token("send-feedback", expiration_time="10m")
    """
    granted: Scopes = {"trigger": {"tasks": task}}
    flow = _create(granted, expiration_time, not multiple_use, realtime)
    return transport.start(flow, "auth.create_trigger_public_token")


def create_batch_trigger_public_token(
    task: TaskRef | Sequence[TaskRef],
    *,
    multiple_use: bool = False,
    expiration_time: Duration | datetime.datetime | None = None,
    realtime: Hidden | None = None,
) -> Coroutine[Any, Any, str]:
    """Make a token that triggers a batch of these tasks, once; arguments and errors as for one that triggers a run.

    Example::

        token = await auth.create_batch_trigger_public_token(["resize", "upload"])
    """
    granted: Scopes = {"batch_trigger": {"tasks": task}}
    flow = _create(granted, expiration_time, not multiple_use, realtime)
    return transport.start(flow, "auth.create_batch_trigger_public_token")


class BlockingAuth:
    """``auth.sync``: the same functions, blocking the thread."""

    def create_public_token(
        self,
        scopes: Scopes | Sequence[str],
        *,
        expiration_time: Duration | datetime.datetime | None = None,
        one_time_use: bool = False,
        realtime: Hidden | None = None,
    ) -> str:
        """Make a token: ``auth.sync.create_public_token({"read": {"runs": handle}})``."""
        return transport.run(_create(scopes, expiration_time, one_time_use, realtime))

    def create_trigger_public_token(
        self,
        task: TaskRef | Sequence[TaskRef],
        *,
        multiple_use: bool = False,
        expiration_time: Duration | datetime.datetime | None = None,
        realtime: Hidden | None = None,
    ) -> str:
        """Make a token that triggers a task once: ``auth.sync.create_trigger_public_token("send-feedback")``."""
        return transport.run(_create({"trigger": {"tasks": task}}, expiration_time, not multiple_use, realtime))

    def create_batch_trigger_public_token(
        self,
        task: TaskRef | Sequence[TaskRef],
        *,
        multiple_use: bool = False,
        expiration_time: Duration | datetime.datetime | None = None,
        realtime: Hidden | None = None,
    ) -> str:
        """Make a token that triggers a batch once: ``auth.sync.create_batch_trigger_public_token("resize")``."""
        return transport.run(_create({"batch_trigger": {"tasks": task}}, expiration_time, not multiple_use, realtime))


def _create(granted: object, expiration_time: object, one_time_use: object, realtime: object) -> Flow[str]:
    """Check what is asked for, and return the flow that asks."""
    request = PublicTokenRequest(
        _scopes(granted), _expiration(expiration_time), one_time_use=bool(one_time_use), realtime=_realtime(realtime)
    )
    return _created(requests.create_public_token(request))


def _created(call: requests.Call[PublicTokenResponse]) -> Flow[str]:
    made = yield from flows.exchange(call)
    return made.token


_ACTIONS: Final = {
    "read": "read", "write": "write", "trigger": "trigger", "batch_trigger": "batchTrigger", "admin": scopes.ADMIN,
}  # fmt: skip
_TYPES: Final = {name: name for name in Resources.__annotations__} | {"input_streams": "inputStreams"}


def _scopes(granted: object) -> list[str]:
    found: list[str] = []
    match granted:
        case Mapping():
            for action, on in granted.items():
                found += _of_action(action, on)
        case [*texts] if all(isinstance(text, str) for text in texts):
            found = [str(text) for text in texts]
        case _:
            raise TypeError(
                f'scopes={granted!r} is not accepted; expected {{"read": {{"runs": [...]}}}} or a list of texts'
            )
    for text in found:
        if scopes.parse(text) is None:
            raise ValueError(f"scopes: {text!r} is not a scope; expected action, action:type or action:type:id")
    if not found:
        raise ValueError(f"scopes={granted!r} allows nothing; expected one scope or more")
    return found


def _of_action(action: object, on: object) -> list[str]:
    if action not in _ACTIONS:
        raise unknown(str(action), tuple(_ACTIONS), "action")
    name = _ACTIONS[str(action)]
    if isinstance(on, bool) and name == scopes.ADMIN:
        return [name] if on else []
    if not isinstance(on, Mapping) or name == scopes.ADMIN:
        expected = "True" if name == scopes.ADMIN else 'what it is allowed on, such as {"runs": [...]}'
        raise TypeError(f"scopes: {action}={on!r} is not accepted; expected {expected}")
    found = []
    for type_, ids in on.items():
        if type_ not in _TYPES:
            raise unknown(str(type_), tuple(_TYPES), "type")
        found += [scopes.show(name, _TYPES[type_], id_) for id_ in _ids(f"scopes: {action}.{type_}", ids)]
    return found


def _ids(where: str, given: object) -> Sequence[str | None]:
    """Return the ids of things; None stands for all of them."""
    if isinstance(given, bool):
        return [None] if given else []
    each = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not each:
        raise ValueError(f"{where} is empty; expected one or several, or True for all")
    return [_id(where, one) for one in each]


def _id(where: str, given: object) -> str:
    found = getattr(given, "id", given)
    if not isinstance(found, str):
        raise TypeError(f"{where}: {found!r} has no id; expected an id, or what has one")
    if not found.strip():
        # Without an id a scope is about all things of its type.
        raise ValueError(f"{where}: {found!r} is blank; expected an id, or True for all")
    return found


def _expiration(value: object) -> str | int | None:
    if value is None:
        return None
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError(f"expiration_time={value!r} is not accepted; expected an aware datetime")
        return math.floor(value.timestamp())
    try:
        span = durations.read(value, "expiration_time")
    except ValueError:
        span = datetime.timedelta()
    if not 1 <= span.total_seconds() <= limits.MAX_PUBLIC_TOKEN_LIFETIME_S:
        raise ValueError(
            f'expiration_time={value!r} is not accepted; expected a span from 1 second to 30 days, such as "15m" or a '
            "timedelta, or an aware datetime"
        )
    # A span, so that the server's clock counts and not this machine's.
    return f"{math.ceil(span.total_seconds())}s"


def _realtime(value: object) -> Realtime | None:
    match value:
        case None:
            return None
        case {"skip_columns": [*named], **others} if not others:
            return Realtime([_column(each) for each in named])
        case _:
            raise TypeError(f'realtime={value!r} is not accepted; expected {{"skip_columns": ["payload", ...]}}')


def _column(name: object) -> str:
    """Return what the wire calls a column; a name that is not known would leave it shown to everybody."""
    if not isinstance(name, str):
        raise TypeError(f"skip_columns: {name!r} is no text; expected any of {', '.join(_COLUMNS)}")
    for field, column in _COLUMNS.items():
        if name in {field, column}:
            return column
    raise ValueError(f"skip_columns: {name!r} is none that can be left out; expected any of {', '.join(_COLUMNS)}")


_COLUMNS: Final = {
    "started_at": "startedAt",
    "delayed_until": "delayUntil",
    "queued_at": "queuedAt",
    "expired_at": "expiredAt",
    "finished_at": "completedAt",
    "number": "number",
    "duration_ms": "usageDurationMs",
    "cost_in_cents": "costInCents",
    "base_cost_in_cents": "baseCostInCents",
    "is_test": "isTest",
    "ttl": "ttl",
    "payload": "payload",
    "payload_type": "payloadType",
    "metadata": "metadata",
    "metadata_type": "metadataType",
    "output": "output",
    "output_type": "outputType",
    "tags": "runTags",
    "streams": "realtimeStreams",
    "error": "error",
    "idempotency_key": "idempotencyKey",
    "left_out": "leftOut",
}
"""Columns by the names of the fields of ``FollowedRun``; some it does not have, and official clients do."""

sync: Final = BlockingAuth()
