"""Routing: the table of routes, from which requests are dispatched and the OpenAPI document is made.

A path is matched segment by segment before it is decoded, so a task id may hold an encoded slash. Every request passes
here the same way: key or token checked, rate limit asked, the token's scopes held against the route, body read and
decoded, handler called, answer encoded. There is no framework between the server and the table; it is mounted in
Starlette's router beside whatever else is served.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

import msgspec
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from oncue.api import access, answers, bodies, cors
from oncue.api.calls import Answer, Call
from oncue.api.settings import ServerSettings
from oncue.protocol.errors import BadRequest, RateLimited

Body = TypeVar("Body")


def _ordinary(settings: ServerSettings) -> int:
    return settings.max_body_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Route(Generic[Body]):
    """One line of the table."""

    method: str
    path: str
    """Literal segments, and names in braces."""
    handle: Callable[[Call, Body], Awaitable[Answer]]
    summary: str
    body: type[Body] | None = None
    """What the body is decoded into; None where there is none, or the handler reads it itself."""
    empty_body: Body | None = None
    """What an absent body stands for; None where there must be one."""
    limit: Callable[[ServerSettings], int] = _ordinary
    """The most bytes of the body."""
    lines: type[msgspec.Struct] | None = None
    """What each line of an NDJSON body holds."""
    answer: Any
    """Type of the answer."""
    media_type: str = "application/json"
    """Of the answer."""
    statuses: Sequence[HTTPStatus] = (HTTPStatus.OK,)
    """With which it comes."""
    errors: Sequence[HTTPStatus] = ()
    """Statuses of refusals of its own; those of every route are left out."""
    query: Sequence[str] = ()
    """Names of the query's parameters."""
    authenticated: bool = True
    rate_limited: bool = True
    """Whether it takes a token of the caller's limit. What a worker reports does not: a run that has ended must
    not go on, nor one that goes on be taken for lost, because others call too often."""

    @property
    def is_rate_limited(self) -> bool:
        """Whether it takes a token; without a key there is nobody to take it from."""
        return self.authenticated and self.rate_limited

    needs: access.Need | None = None
    """What a public access token must say, from pages in browsers too; None: only secret keys are taken."""


class Api(BaseRoute):
    """The table as one route of Starlette's router."""

    def __init__(self, routes: Iterable[Route[Any]]) -> None:
        """Compile the table."""
        self._literal: dict[bytes, dict[str, _Compiled]] = {}
        self._patterns: dict[int, list[tuple[_Pattern, dict[str, _Compiled]]]] = {}
        for route in routes:
            self._add(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Claim a request whose path is in the table."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        methods, segments = self._find(path)
        if methods is None:
            return Match.NONE, {}
        return Match.FULL, {"oncue.methods": methods, "oncue.segments": segments}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        methods: dict[str, _Compiled] = scope["oncue.methods"]
        method = scope["method"]
        found = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if found is None:
            await answers.send_answer(send, _without_a_route(scope, method, methods))
            return
        call = Call(scope["app"].state.services, scope, receive)
        try:
            answer = await _answer(found, call)
        except Exception as error:  # every fault becomes an answer  # noqa: BLE001
            if isinstance(error, RateLimited) and call.standing is not None:
                answer = answers.rate_limited(error.message, call.standing)
            else:
                answer = answers.from_error(error, method=method, path=scope["path"])
        if call.standing is not None:
            answer = answer._replace(headers=(*answer.headers, *answers.rate_limit_headers(call.standing)))
        answer = _shared(found.route, answer, scope)
        if isinstance(answer.body, AsyncIterator):
            await answers.send_pieces(call, send, answer)
        else:
            # Whose it is, is known once he is; before that there are refusals only.
            owner = call.owner if found.route.authenticated and hasattr(call, "caller") else None
            await answers.send_whole(call, send, answer, owner)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:  # noqa: ANN401 - Starlette's signature
        """Refuse: these routes have no names."""
        raise NoMatchFound(name, path_params)

    def _add(self, route: Route[Any]) -> None:
        compiled = _Compiled(route)
        if not compiled.names:
            methods = self._literal.setdefault(route.path.encode(), {})
        else:
            pattern = compiled.pattern
            same_length = self._patterns.setdefault(len(pattern), [])
            methods = next((methods for known, methods in same_length if known == pattern), {})
            if not methods:
                same_length.append((pattern, methods))
        methods[route.method] = compiled

    def _find(self, path: bytes) -> "tuple[dict[str, _Compiled] | None, list[bytes]]":
        methods = self._literal.get(path)
        if methods is not None:
            return methods, []
        segments = path.split(b"/")
        for pattern, methods in self._patterns.get(len(segments), ()):
            if all(literal is None or literal == segments[at] for at, literal in enumerate(pattern)):
                return methods, segments
        return None, []


_Pattern = tuple[bytes | None, ...]
"""Segments of a path; None stands for any."""


class _Compiled:
    """A route, ready for use."""

    __slots__ = ("decoder", "names", "pattern", "route")

    def __init__(self, route: Route[Any]) -> None:
        parts = route.path.split("/")
        self.route = route
        self.names = [(at, part[1:-1]) for at, part in enumerate(parts) if part.startswith("{")]
        self.pattern: _Pattern = tuple(None if part.startswith("{") else part.encode() for part in parts)
        self.decoder = None if route.body is None else msgspec.json.Decoder(route.body)

    def parameters(self, segments: Sequence[bytes]) -> dict[str, str]:
        """Decode what the path holds.

        Raises:
            BadRequest: It is not text that can be stored.
        """
        found = {}
        for at, name in self.names:
            try:
                text = unquote_to_bytes(segments[at]).decode()
            except UnicodeDecodeError:
                raise BadRequest(f"{name} in the path is not UTF-8; percent-encode it as UTF-8") from None
            if not text or "\0" in text:
                raise BadRequest(f"{name} in the path is empty or holds a NUL character; expected text")
            found[name] = text
        return found


async def _answer(found: _Compiled, call: Call) -> Answer:
    route, services = found.route, call.services
    if route.authenticated:
        call.caller = await services.keys.authenticate(call.header(b"authorization"))
        call.environment = call.caller.environment
    if route.is_rate_limited:
        await call.take_request()
    call.parameters = found.parameters(call.scope["oncue.segments"])
    if route.authenticated:
        await access.check(route.needs, call)
    body = None
    if found.decoder is not None:
        content = await bodies.read(call, route.limit(services.settings))
        body = route.empty_body if not content else None
        body = bodies.decode(found.decoder, content) if body is None else body
    return await route.handle(call, body)


_NOT_ALLOWED: Final = "method_not_allowed"


def _shared(route: Route[Any], answer: Answer, scope: Scope) -> Answer:
    """Say which pages may read an answer."""
    if route.needs is None:
        return answer
    return answer._replace(headers=(*answer.headers, *cors.headers(_origins(scope), scope)))


def _without_a_route(scope: Scope, method: str, methods: "dict[str, _Compiled]") -> Answer:
    for_pages = [name for name, found in methods.items() if found.route.needs is not None]
    if method == "OPTIONS" and for_pages:
        return cors.preflight(_origins(scope), scope, for_pages)
    answer = _method_not_allowed(method, methods)
    return _shared(methods[for_pages[0]].route, answer, scope) if for_pages else answer


def _origins(scope: Scope) -> Sequence[str]:
    settings: ServerSettings = scope["app"].state.services.settings
    return settings.cors_origins


def _method_not_allowed(method: str, methods: Iterable[str]) -> Answer:
    allowed = ", ".join(sorted(methods))
    return answers.refusal(
        HTTPStatus.METHOD_NOT_ALLOWED,
        f"{method} is not allowed here; expected {allowed}",
        _NOT_ALLOWED,
        headers=((b"allow", allowed.encode()),),
    )
