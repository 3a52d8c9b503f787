"""Calls: one HTTP request as a handler sees it, and what it answers.

A handler gets its call authenticated and its body decoded; it makes one engine call and returns an ``Answer``. What it
does by the piece it pays for with tokens of a rate limit.
"""

import datetime
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from oncue.api import seats
from oncue.api.auth import Caller
from oncue.api.rate_limiting import Standing
from oncue.api.services import Services
from oncue.engine.rate_limits import PUBLIC_REQUESTS, REQUESTS, Kind, Owner
from oncue.engine.rows import Environment
from oncue.protocol import ids, status
from oncue.protocol.errors import ApiError, BadRequest, NotFound, RateLimited
from oncue.protocol.status import Words

REQUEST_KEY: Final = b"x-trigger-request-idempotency-key"
_API_VERSION: Final = b"x-trigger-api-version"
_MAX_REQUEST_KEY_LENGTH: Final = 256


class Answer(NamedTuple):
    """What a handler answers."""

    body: Any
    """Encoded as JSON; bytes are sent as they are, and what an async iterator yields piece by piece."""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = b"application/json"


class Charge:
    """Tokens that were taken for something; those that it turns out not to need are given back."""

    __slots__ = ("used",)

    def __init__(self, taken: int) -> None:
        self.used = taken


class Call:
    """One request.

    Attributes:
        services: The running server.
        caller: Who calls; set once the key has been checked.
        environment: Where the caller may act; set likewise.
        parameters: The path's, decoded, by name.
        standing: The rate limit that the answer tells of, if any.
    """

    __slots__ = ("caller", "environment", "parameters", "receive", "scope", "services", "standing")

    caller: Caller
    environment: Environment
    parameters: dict[str, str]

    def __init__(self, services: Services, scope: Scope, receive: Receive) -> None:
        self.services, self.scope, self.receive = services, scope, receive
        self.standing: Standing | None = None

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
    def words(self) -> Words:
        """How the caller is told of statuses: in today's words if it says that it knows them (wire contract §4.1)."""
        return status.SHOWN if self.header(_API_VERSION) else status.SHOWN_BEFORE

    def id_of(self, prefix: str, parameter: str) -> uuid.UUID:
        """Return the id that the path holds.

        Args:
            prefix: Of what kind of thing, such as ``ids.RUN``.
            parameter: Its name in the path.

        Raises:
            NotFound: No server gives out such ids, so that there is nothing of the kind. Official clients tell what is
                not there by 404, also of ids that another server gave.
        """
        try:
            return ids.parse(prefix, self.parameters[parameter])
        except BadRequest as error:
            raise NotFound(f"no such {parameter}: {error.message}") from None

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

    @property
    def owner(self) -> seats.Owner:
        """Whose is what this call keeps of the server: a subscription, a reader of a stream, an unread answer."""
        token = self.caller.token
        return seats.Owner(self.environment.id, None if token is None else token.hash)

    async def take_request(self) -> None:
        """Take one token for this request, of its public access token's own limit or else of the environment's.

        The answer tells where that limit stands then.

        Raises:
            RateLimited: There is none.
        """
        token = self.caller.token
        if token is None:
            self.standing = await self._take(Owner(self.environment), REQUESTS, 1)
        else:
            self.standing = await self._take(Owner(self.environment, token.hash), PUBLIC_REQUESTS, 1)

    async def _take(self, owner: Owner, kind: Kind, amount: int) -> Standing | None:
        """Take tokens of a rate limit, and return where it stands.

        Raises:
            RateLimited: There are not enough; the answer tells of this limit then.
        """
        standing = await self.services.rate_limits.take(owner, kind, amount)
        if standing is not None and standing.refusal is not None:
            self.standing = standing
            reset_at = datetime.datetime.fromtimestamp(standing.reset_ms / 1000, datetime.UTC)
            raise RateLimited(standing.refusal, reset_at=reset_at)
        return standing

    @asynccontextmanager
    async def charged(self, kind: Kind, amount: int) -> AsyncIterator[Charge]:
        """Take tokens of one of the environment's limits for what the block does.

        They are given back where the block is refused, and as far as it says that it used fewer. Where the server
        fails they are not: what the block did may have been stored.

        Raises:
            RateLimited: There are not enough; the answer tells of this limit then.
        """
        owner = Owner(self.environment)
        await self._take(owner, kind, amount)
        charge = Charge(amount)
        try:
            yield charge
        except ApiError as error:
            if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                await self.services.rate_limits.give_back(owner, kind, amount)
            raise
        await self.services.rate_limits.give_back(owner, kind, amount - charge.used)

    async def disconnected(self) -> None:
        """Return once the client has gone. Only after the body has been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
