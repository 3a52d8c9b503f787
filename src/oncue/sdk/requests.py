"""Requests: arguments to HTTP calls, answers to values or errors, without any I/O.

Which endpoint each function uses, the headers and when a call is sent again are the wire contract's (§1.2, §1.3, §2).

Life of a run, this module's part::

    sdk/triggering -> Call -> sdk/flows.exchange -> HttpRequest -> transport
"""

import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from oncue.protocol import bulk_actions, metadata, packets, public_tokens, runs, tokens, triggers, work
from oncue.protocol.errors import ApiError
from oncue.sdk import settings
from oncue.sdk.answers import Answer
from oncue.sdk.retrying import ITEM_STREAMS, JSON_CALLS, PATIENT, Policy

T = TypeVar("T")

API_VERSION: Final = "2025-07-16"
"""Selects the status vocabulary of wire contract §4.1."""


class Call(NamedTuple, Generic[T]):
    """One call of the API."""

    method: str
    path: str
    parse: Callable[[Answer], T]
    body: bytes | None = None
    query: Sequence[tuple[str, str]] = ()
    policy: Policy = JSON_CALLS
    content_type: str = "application/json"
    keyed: bool = True
    """Whether the server may answer a repetition from memory."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Of its own."""


class HttpRequest(NamedTuple):
    """A call as it goes over the wire; the same for all its attempts."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


class TriggerAnswer(NamedTuple):
    """What a trigger made, and a token that may read it."""

    response: triggers.TriggerResponse
    public_access_token: str | None


class CreateBatchAnswer(NamedTuple):
    """A batch that may be filled, and a token that may read it."""

    response: triggers.CreateBatchResponse
    public_access_token: str | None


class CreateTokenAnswer(NamedTuple):
    """A token to wait for, and a token of another kind that may complete it from a browser."""

    response: tokens.CreateTokenResponse
    public_access_token: str | None


def trigger(task: str, request: triggers.TriggerRequest) -> Call[TriggerAnswer]:
    """Trigger one run (wire contract §2.1)."""
    return Call("POST", f"/api/v1/tasks/{quote(task, safe='')}/trigger", _trigger_answer, _encode(request))


def create_batch(request: triggers.CreateBatchRequest) -> Call[CreateBatchAnswer]:
    """Open a batch (wire contract §2.2)."""
    return Call("POST", "/api/v3/batches", _create_batch_answer, _encode(request))


def fill_batch(batch_id: str, lines: bytes, *, policy: Policy = ITEM_STREAMS) -> Call[triggers.FillBatchResponse]:
    """Send a batch its items, one JSON object on each line (wire contract §2.3)."""
    return Call(
        "POST",
        f"/api/v3/batches/{quote(batch_id, safe='')}/items",
        _reading(triggers.FillBatchResponse),
        lines,
        policy=policy,
        content_type="application/x-ndjson",
        keyed=False,
    )


def seal_batch(batch_id: str, run_count: int) -> Call[triggers.FillBatchResponse]:
    """Say how many items an open batch has, all of which were sent."""
    body = _encode(triggers.SealBatchRequest(run_count))
    return Call("POST", f"/api/v3/batches/{quote(batch_id, safe='')}/seal", _reading(triggers.FillBatchResponse), body)


def abort_batch(batch_id: str, reason: str) -> Call[triggers.AbortBatchResponse]:
    """Give up a batch that could not be filled."""
    body = _encode(triggers.AbortBatchRequest(reason))
    path = f"/api/v3/batches/{quote(batch_id, safe='')}/abort"
    return Call("POST", path, _reading(triggers.AbortBatchResponse), body)


def packet_upload(name: str, size: int, kind: packets.Kind) -> Call[packets.PresignedUpload]:
    """Ask where a document of so many bytes may be stored (wire contract §2.10)."""
    query = (("size", str(size)), ("kind", kind))
    path = f"/api/v2/packets/{quote(name, safe='')}"
    return Call("PUT", path, _reading(packets.PresignedUpload), query=query)


def packet_download(path: str) -> Call[packets.PresignedDownload]:
    """Ask where a document can be fetched (wire contract §2.10)."""
    return get(f"/api/v1/packets/{quote(path, safe='')}", packets.PresignedDownload)


def get(path: str, type_: type[T], query: Sequence[tuple[str, str]] = ()) -> Call[T]:
    """Read a resource as a Struct."""
    return Call("GET", path, _reading(type_), query=query)


def retrieve_run(run_id: str, type_: type[T]) -> Call[T]:
    """Ask for a run (wire contract §2.6)."""
    return get(f"/api/v3/runs/{quote(run_id, safe='')}", type_)


def retrieve_batch(batch_id: str) -> Call[triggers.BatchView]:
    """Ask for a batch."""
    return get(f"/api/v2/batches/{quote(batch_id, safe='')}", triggers.BatchView)


def cancel_run(run_id: str) -> Call[None]:
    """Cancel a run; one that has ended stays as it is (wire contract §2.7)."""
    return Call("POST", f"/api/v2/runs/{quote(run_id, safe='')}/cancel", lambda _: None)


def reschedule_run(run_id: str, request: runs.RescheduleRequest, type_: type[T]) -> Call[T]:
    """Hold a delayed run until another moment (wire contract §2.7)."""
    return Call("POST", f"/api/v1/runs/{quote(run_id, safe='')}/reschedule", _reading(type_), _encode(request))


def replay_run(run_id: str, request: runs.ReplayRequest) -> Call[runs.ReplayResponse]:
    """Trigger what a run was asked to do once more (wire contract §2.7)."""
    path = f"/api/v1/runs/{quote(run_id, safe='')}/replay"
    return Call("POST", path, _reading(runs.ReplayResponse), _encode(request))


def create_bulk_action(request: bulk_actions.CreateBulkActionRequest) -> Call[bulk_actions.BulkAction]:
    """Cancel or replay many runs (wire contract §2.7)."""
    return Call("POST", "/api/v1/bulk-actions", _reading(bulk_actions.BulkAction), _encode(request))


def retrieve_bulk_action(action_id: str) -> Call[bulk_actions.BulkAction]:
    """Ask how far a bulk action is."""
    return get(f"/api/v1/bulk-actions/{quote(action_id, safe='')}", bulk_actions.BulkAction)


def abort_bulk_action(action_id: str) -> Call[None]:
    """Let no more runs of a bulk action be gone through."""
    return Call("POST", f"/api/v1/bulk-actions/{quote(action_id, safe='')}/abort", lambda _: None)


def update_metadata(run_id: str, update: metadata.MetadataUpdate) -> Call[metadata.MetadataView]:
    """Change the metadata of a run, of its parent and of its root (wire contract §5)."""
    path = f"/api/v1/runs/{quote(run_id, safe='')}/metadata"
    return Call("PUT", path, _reading(metadata.MetadataView), _encode(update))


def add_tags(run_id: str, tags: list[str]) -> Call[None]:
    """Add tags to a run (wire contract §5)."""
    path = f"/api/v1/runs/{quote(run_id, safe='')}/tags"
    return Call("POST", path, lambda _: None, _encode(metadata.AddTagsRequest(tags)))


def send_chunks(path: str, lines: bytes, *, writer: str, first: int) -> Call[None]:
    """Send chunks of a stream (wire contract §6.4); those that were stored before are left out."""
    headers = {"X-Client-Id": writer, "X-Resume-From-Chunk": str(first)}
    return Call(
        "POST", path, lambda _: None, lines, policy=PATIENT, content_type="application/x-ndjson", headers=headers
    )


def append_chunk(path: str, document: bytes, *, part: str) -> Call[None]:
    """Append one chunk to a stream (wire contract §6.4)."""
    headers = {"X-Part-Id": part}
    return Call("POST", f"{path}/append", lambda _: None, document, policy=PATIENT, headers=headers)


def send_input(run_id: str, key: str, document: bytes, *, part: str) -> Call[None]:
    """Send a value to a run (wire contract §6.4); one that was stored before is left out."""
    path = f"/realtime/v1/streams/{quote(run_id, safe='')}/input/{quote(key, safe='')}"
    return Call("POST", path, lambda _: None, b'{"data":' + document + b"}", headers={"X-Part-Id": part})


def reset_key(task_id: str, key: str) -> Call[str]:
    """Forget an idempotency key (wire contract §2.9)."""
    path = f"/api/v1/idempotencyKeys/{quote(key, safe='')}/reset"
    return Call("POST", path, lambda _: key, _encode(triggers.ResetKeyRequest(task_id)))


def wait(request: work.WaitRequest) -> Call[work.WaitResponse]:
    """Begin to wait for a span, a moment or a token, inside a run."""
    return Call("POST", "/api/v1/work/waits", _reading(work.WaitResponse), _encode(request))


def recall_step(call: work.StepCall) -> Call[work.StepRecalled]:
    """Ask for the result of a step that was taken before the run was started again."""
    return Call("POST", "/api/v1/work/steps/recall", _reading(work.StepRecalled), _encode(call))


def record_step(taken: work.StepRecord) -> Call[work.StepKept]:
    """Keep the result of a step."""
    return Call("POST", "/api/v1/work/steps", _reading(work.StepKept), _encode(taken))


def create_token(request: tokens.CreateTokenRequest) -> Call[CreateTokenAnswer]:
    """Make a token (wire contract §5)."""
    return Call("POST", "/api/v1/waitpoints/tokens", _create_token_answer, _encode(request))


def complete_token(token: str, data: msgspec.Raw) -> Call[None]:
    """Complete a token (wire contract §5)."""
    path = f"/api/v1/waitpoints/tokens/{quote(token, safe='')}/complete"
    return Call("POST", path, lambda _: None, _encode(tokens.CompleteTokenRequest(data)))


def retrieve_token(token: str) -> Call[tokens.TokenView]:
    """Ask for a token (wire contract §5)."""
    return get(f"/api/v1/waitpoints/tokens/{quote(token, safe='')}", tokens.TokenView)


def create_public_token(request: public_tokens.PublicTokenRequest) -> Call[public_tokens.PublicTokenResponse]:
    """Make a public access token (wire contract §3.1)."""
    return Call("POST", "/api/v1/auth/public-tokens", _reading(public_tokens.PublicTokenResponse), _encode(request))


def http_request(call: Call[Any], where: settings.Settings) -> HttpRequest:
    """Write a call as an HTTP request, with a key of its own that its repetitions share."""
    headers = {
        "Authorization": f"Bearer {where.secret_key}",
        "Content-Type": call.content_type,
        "trigger-version": version(),
        "x-trigger-api-version": API_VERSION,
        "x-trigger-source": "sdk",
        **call.headers,
    }
    if call.keyed:
        headers["x-trigger-request-idempotency-key"] = str(uuid.uuid4())
    query = f"?{urlencode(call.query)}" if call.query else ""
    return HttpRequest(call.method, f"{where.api_url}{call.path}{query}", headers, call.body)


def parsed(call: Call[T], answer: Answer) -> T:
    """Read a good answer.

    Raises:
        ApiError: The body is not what the contract promises, for instance because a proxy answered.
    """
    try:
        return call.parse(answer)
    except msgspec.MsgspecError as error:
        start = answer.body[:80].decode(errors="replace")
        message = f"the answer to {call.method} {call.path} cannot be read ({error}); it begins {start!r}"
        raise ApiError(f"{message}; expected an oncue server at {settings.API_URL}", status=answer.status) from error


@functools.cache
def version() -> str:
    """Return the version of the installed package."""
    import importlib.metadata

    return importlib.metadata.version("oncue")


def _trigger_answer(answer: Answer) -> TriggerAnswer:
    return TriggerAnswer(_decoder(triggers.TriggerResponse).decode(answer.body), answer.headers.get("x-trigger-jwt"))


def _create_batch_answer(answer: Answer) -> CreateBatchAnswer:
    return CreateBatchAnswer(
        _decoder(triggers.CreateBatchResponse).decode(answer.body), answer.headers.get("x-trigger-jwt")
    )


def _create_token_answer(answer: Answer) -> CreateTokenAnswer:
    return CreateTokenAnswer(
        _decoder(tokens.CreateTokenResponse).decode(answer.body), answer.headers.get("x-trigger-jwt")
    )


def _reading(type_: type[T]) -> Callable[[Answer], T]:
    hashable: Any = type_  # which mypy doubts of a type[T]
    decoder: msgspec.json.Decoder[T] = _decoder(hashable)
    return lambda answer: decoder.decode(answer.body)


@functools.cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - any type form
    """Return a type's decoder, the same for all calls: making one costs more than reading an answer."""
    return msgspec.json.Decoder(type_)


_encode: Final = msgspec.json.Encoder().encode
