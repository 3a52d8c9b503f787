"""Waitpoints: a run waits for a moment or a token; tokens are made, shown and completed (wire contract §5)."""

from http import HTTPStatus
from typing import Final, get_args

import msgspec

from oncue.api import access, addresses, answer_tokens, bodies, query_values
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import tokens, waitpoints
from oncue.engine.tokens import Filters, Signed
from oncue.protocol import codec, ids, limits
from oncue.protocol.errors import BadRequest
from oncue.protocol.tokens import (
    CompleteTokenRequest,
    CompleteTokenResponse,
    CreateTokenRequest,
    CreateTokenResponse,
    TokenPage,
    TokenPagination,
    TokenStatus,
    TokenView,
)
from oncue.protocol.work import WaitRequest, WaitResponse

_LARGEST_PAGE: Final = 100
_PAGE: Final = 25
_QUERY: Final = (
    "page[size]", "page[after]", "page[before]", "filter[status]", "filter[tags]", "filter[idempotencyKey]",
    "filter[createdAt][from]", "filter[createdAt][to]", "filter[createdAt][period]",
)  # fmt: skip


async def wait(call: Call, request: WaitRequest) -> Answer:
    """Let a run wait."""
    waitpoint = await call.services.write(
        lambda tx, effects: waitpoints.wait(tx, call.environment, request, effects=effects)
    )
    return Answer(WaitResponse(ids.show(ids.WAITPOINT, waitpoint)))


async def create(call: Call, request: CreateTokenRequest) -> Answer:
    """Make a token."""
    key = call.request_key
    made = await call.services.write(
        lambda tx, effects: tokens.create(tx, call.environment, request, request_key=key, effects=effects)
    )
    token = ids.show(ids.WAITPOINT, made.id)
    return Answer(
        CreateTokenResponse(token, made.is_cached, _callback_url(call, token, made.signature)),
        headers=await answer_tokens.for_waitpoint(call, token),
    )


async def retrieve(call: Call, _: None) -> Answer:
    """Show a token."""
    token = call.id_of(ids.WAITPOINT, "token")
    return Answer(_shown(call, await call.services.read(lambda tx: tokens.retrieve(tx, call.environment, token))))


async def list_tokens(call: Call, _: None) -> Answer:
    """Show tokens, newest first."""
    query = call.query
    for name in query:
        if name not in _QUERY:
            raise BadRequest(f"{name[:60]} is not supported by this server; expected one of {', '.join(_QUERY)}")
    filters = Filters(
        statuses=query_values.several_of(query, "filter[status]", get_args(TokenStatus)),
        tags=query_values.several(query, "filter[tags]"),
        keys=query_values.several(query, "filter[idempotencyKey]"),
        created_from=query_values.moment(query, "filter[createdAt][from]"),
        created_to=query_values.moment(query, "filter[createdAt][to]"),
        period=query_values.period(query, "filter[createdAt][period]"),
    )
    after, before = (query.get(f"page[{side}]") for side in ("after", "before"))
    page = await call.services.read(
        lambda tx: tokens.list_tokens(
            tx,
            call.environment,
            filters=filters,
            after=ids.parse(ids.WAITPOINT, after) if after else None,
            before=ids.parse(ids.WAITPOINT, before) if before else None,
            size=query_values.number(query, "page[size]", default=_PAGE, largest=_LARGEST_PAGE),
        )
    )
    shown = [_shown(call, token) for token in page.tokens]
    pagination = TokenPagination(
        next=shown[-1].id if page.has_older else None, previous=shown[0].id if page.has_newer else None
    )
    return Answer(TokenPage(shown, pagination))


async def complete(call: Call, request: CompleteTokenRequest) -> Answer:
    """Complete a token with a JSON value."""
    token = call.id_of(ids.WAITPOINT, "token")
    output = bytes(request.data) or b"null"
    codec.checked(output, "data")
    await call.services.write(
        lambda tx, effects: tokens.complete(tx, call.environment, token, output, codec.JSON, effects=effects)
    )
    return Answer(CompleteTokenResponse())


async def call_back(call: Call, _: None) -> Answer:
    """Complete a token by its address, without a key; a body that is no JSON counts as ``{}``."""
    token = call.id_of(ids.WAITPOINT, "token")
    environment = await call.services.read(lambda tx: tokens.called_back(tx, token, call.parameters["hash"]))
    body = await bodies.read(call, limits.MAX_COMPLETION_BYTES)
    output = body if _is_json(body) else b"{}"
    await call.services.write(
        lambda tx, effects: tokens.complete(tx, environment, token, output, codec.JSON, effects=effects)
    )
    return Answer(CompleteTokenResponse())


def _is_json(body: bytes) -> bool:
    """Whether it can be kept as JSON: NUL characters cannot."""
    try:
        codec.checked(body, "body")
    except (msgspec.DecodeError, BadRequest, UnicodeDecodeError):
        return False
    return b"\\u0000" not in body


def _shown(call: Call, token: Signed) -> TokenView:
    return msgspec.structs.replace(token.view, url=_callback_url(call, token.view.id, token.signature))


def _callback_url(call: Call, token: str, signature: str) -> str:
    return f"{addresses.base(call)}/api/v1/waitpoints/tokens/{token}/callback/{signature}"


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/work/waits",
        handle=wait,
        summary="A run waits for a span, a moment or a token",
        rate_limited=False,
        body=WaitRequest,
        answer=WaitResponse,
        errors=(HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND),
    ),
    Route(
        method="POST",
        path="/api/v1/waitpoints/tokens",
        handle=create,
        summary="Make a token that runs can wait for",
        body=CreateTokenRequest,
        empty_body=CreateTokenRequest(),
        answer=CreateTokenResponse,
        errors=(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
    Route(
        method="GET",
        path="/api/v1/waitpoints/tokens",
        handle=list_tokens,
        summary="List tokens, newest first",
        answer=TokenPage,
        query=_QUERY,
    ),
    Route(
        method="GET",
        path="/api/v1/waitpoints/tokens/{token}",
        handle=retrieve,
        summary="Retrieve a token",
        answer=TokenView,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/api/v1/waitpoints/tokens/{token}/complete",
        handle=complete,
        summary="Complete a token",
        body=CompleteTokenRequest,
        limit=lambda _: limits.MAX_COMPLETION_BYTES,
        empty_body=CompleteTokenRequest(),
        answer=CompleteTokenResponse,
        needs=access.waitpoint_completion,
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ),
    Route(
        method="POST",
        path="/api/v1/waitpoints/tokens/{token}/callback/{hash}",
        handle=call_back,
        summary="Complete a token by its callback address",
        answer=CompleteTokenResponse,
        errors=(HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        authenticated=False,
    ),
)
