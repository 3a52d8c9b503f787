"""Cross origin: browsers may call some routes from pages of any origin, and read all that is answered.

A browser asks first (``OPTIONS``), and hides an answer, a refusal too, that does not say that it may be seen. Nothing
here goes by cookies, so every origin is as good as any other; what a caller may do is said by its key.

Source: wire contract §1.6.
"""

from typing import Any, Final

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Message, Receive, Scope, Send

_OPEN: Final = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
_METHODS: Final = b"GET, HEAD, POST, PUT, OPTIONS"
_MAX_AGE: Final = b"300"
"""Seconds for which a browser need not ask again."""


class CrossOrigin(BaseRoute):
    """Routes below a prefix, open to pages of any origin."""

    def __init__(self, prefix: str, routes: BaseRoute) -> None:
        """Open some routes.

        Args:
            prefix: Of their paths.
            routes: What they are answered by.
        """
        self._prefix, self._routes = prefix, routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Claim a request that is for one of them, or that asks whether it may be made."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            return Match.NONE, {}
        return self._routes.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["method"] == "OPTIONS":
            await _permit(scope, send)
            return

        async def opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_OPEN]
            await send(message)

        await self._routes.handle(scope, receive, opened)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:  # noqa: ANN401 - Starlette's signature
        """Refuse: these routes have no names."""
        raise NoMatchFound(name, path_params)


async def _permit(scope: Scope, send: Send) -> None:
    asked = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), b"*")
    headers = [
        *_OPEN,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", asked),
        (b"access-control-max-age", _MAX_AGE),
        (b"vary", b"access-control-request-headers"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
