"""Calls: one HTTP request as a handler sees it, and what it answers.

A handler gets its call authenticated and its body decoded; it makes one engine call and returns an ``Answer``.
"""

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from oncue.api.services import Services
from oncue.engine.rows import Environment
from oncue.protocol.errors import BadRequest

REQUEST_KEY: Final = b"x-trigger-request-idempotency-key"
_MAX_REQUEST_KEY_LENGTH: Final = 256


class Answer(NamedTuple):
    """What a handler answers."""

    body: Any
    """Encoded as JSON; bytes are sent as they are."""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Call:
    """One request.

    Attributes:
        services: The running server.
        environment: Where the caller may act; set once the key has been checked.
        parameters: The path's, decoded, by name.
    """

    __slots__ = ("environment", "parameters", "receive", "scope", "services")

    environment: Environment

    def __init__(self, services: Services, scope: Scope, receive: Receive, parameters: dict[str, str]) -> None:
        self.services, self.scope, self.receive, self.parameters = services, scope, receive, parameters

    def header(self, name: bytes) -> str | None:
        """Return a header by its lower-case name."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last counts.

        Raises:
            BadRequest: It cannot be read.
        """
        try:
            text = str(self.scope["query_string"], "ascii")
            found = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
        except ValueError as error:
            raise BadRequest(f"the query cannot be read: {error}") from None
        for name, value in found.items():
            if "\0" in value:
                raise BadRequest(f"query parameter {name[:60]!r} holds a NUL character, which cannot be stored")
        return found

    @property
    def request_key(self) -> str | None:
        """What the client names this request with, the same when it sends it again.

        Raises:
            BadRequest: It is too long.
        """
        key = self.header(REQUEST_KEY)
        if key is not None and len(key) > _MAX_REQUEST_KEY_LENGTH:
            raise BadRequest(
                f"{REQUEST_KEY.decode()} has {len(key)} characters; expected at most {_MAX_REQUEST_KEY_LENGTH}"
            )
        return key or None

    async def disconnected(self) -> None:
        """Return once the client has gone. Only after the body has been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
