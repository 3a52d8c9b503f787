"""Public requests: what a bearer of a public access token may not say in a request, though a secret key may.

Our own additions to the protocol let a caller choose ids and speak for a run, which only servers and workers do. In a
browser's hands they would lead to what is somebody else's: a run that is there already would be handed out by its id,
with a token to read it, and a child shows its parent. Ids and keys that requests are known by are therefore the
token's own.
"""

import hashlib
from typing import Final

import msgspec

from oncue.api.calls import Call
from oncue.engine.requests import OneTimeToken
from oncue.protocol import codec
from oncue.protocol.errors import PermissionDenied
from oncue.protocol.runs import ReplayRequest
from oncue.protocol.triggers import BatchItem, CreateBatchRequest, QueueOption, TriggerRequest

_PARENT: Final = "a public access token cannot speak for a run; leave out parentRunId and what belongs to it"
_STORED: Final = "a public access token cannot name a document in the object store; send the payload itself"
_OPEN: Final = "a public access token cannot create an open batch; say how many items it has, as runCount"
_LIMIT: Final = "a public access token cannot change the limit of a queue; leave out concurrencyLimit"


def trigger(call: Call, request: TriggerRequest) -> TriggerRequest:
    """Return a trigger as its caller may make it.

    Raises:
        PermissionDenied: It says what a token's bearer may not say.
    """
    if call.caller.token is None:
        return request
    options = request.options
    if options.parent_run_id is not None or options.resume_parent_on_completion:
        raise PermissionDenied(_PARENT)
    _check(options.payload_type, options.queue)
    return msgspec.structs.replace(request, options=msgspec.structs.replace(options, run_id=None))


def batch(call: Call, request: CreateBatchRequest) -> CreateBatchRequest:
    """Return a batch's creation as its caller may make it.

    Raises:
        PermissionDenied: It says what a token's bearer may not say.
    """
    if call.caller.token is None:
        return request
    if request.parent_run_id is not None or request.resume_parent_on_completion:
        raise PermissionDenied(_PARENT)
    if request.open:
        raise PermissionDenied(_OPEN)
    key = request.idempotency_key
    if key is not None:
        # With its tasks (wire contract §2.2), so that it leads to no batch of tasks which the token does not name.
        parts = [key, *sorted(set(request.task_identifiers or ()))]
        key = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
    return msgspec.structs.replace(request, id=None, idempotency_key=key)


def item(call: Call, item_: BatchItem) -> BatchItem:
    """Return an item of a batch as its caller may send it.

    Raises:
        PermissionDenied: It says what a token's bearer may not say.
    """
    if call.caller.token is not None:
        _check(item_.options.payload_type, item_.options.queue)
    return item_


def replay(call: Call, request: ReplayRequest) -> ReplayRequest:
    """Return a replay as its caller may ask for it.

    Raises:
        PermissionDenied: It says what a token's bearer may not say.
    """
    if call.caller.token is not None:
        _check(request.payload_type, request.queue)
    return request


def request_key(call: Call, what: str) -> str | None:
    """Return by what a request is known when it is delivered again.

    That is its header beside what it asks for, of a token's bearer also the token: nothing else shall be meant.

    Args:
        what: ``batch``, ``task`` with its id, or ``replay`` with the run's.

    Raises:
        BadRequest: The header is too long.
    """
    key, token = call.request_key, call.caller.token
    if key is None:
        return None
    return f"{what}/{key}" if token is None else f"{token.hash.hex()}/{what}/{key}"


def one_time(call: Call) -> OneTimeToken | None:
    """Return the token that a request uses up."""
    return None if call.caller.token is None else call.caller.token.one_time


def _check(payload_type: str | None, queue: str | QueueOption | None) -> None:
    if payload_type == codec.STORE:
        # Only secret keys can store one: it is somebody else's, and the run would show where it is.
        raise PermissionDenied(_STORED)
    match queue:
        case QueueOption(concurrency_limit=int()):
            raise PermissionDenied(_LIMIT)
        case QueueOption(name=name) if getattr(name, "concurrency_limit", None) is not None:
            raise PermissionDenied(_LIMIT)
        case _:
            pass
