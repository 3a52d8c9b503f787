"""Auth: what a request carries becomes who calls: in which environment, by which key, with which rights.

A secret key may do everything in its environment; a public access token what its scopes say, as long as the key that
asked for it is in force.

Keys are known by their SHA-256 only, and looked up by it: no secret is compared with another, and the time a look-up
takes says nothing about a key. Answers are remembered for a few seconds so that a hot key costs no query; a revoked
key stops at once where it was revoked and on every server that hears of it, and after those seconds anyway. Its tokens
stop with it: they are held against the same memory.
"""

import datetime
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from oncue.api.memory import Memory
from oncue.api.signing import Signer
from oncue.engine import environments
from oncue.engine.environments import KeyHolder
from oncue.engine.requests import OneTimeToken
from oncue.engine.rows import Environment
from oncue.protocol.errors import Unauthorized
from oncue.protocol.public_tokens import Claims
from oncue.protocol.scopes import Scopes

_KNOWN_SECONDS: Final = 5.0
_UNKNOWN_SECONDS: Final = 1.0
"""Long enough to blunt a client that hammers with a wrong key, short for a key that was made just now."""
_MOST: Final = 10_000
_FULL_STOPS: Final = 2
"""Of a JWT; a secret key has none."""
_ADVICE: Final = (
    "send Authorization: Bearer tr_<env>_sk_..., the secret key of an environment (TRIGGER_SECRET_KEY); from a page in "
    "a browser a public access token, which your server makes, and never the key"
)

Find = Callable[[bytes], Awaitable[KeyHolder | None]]
"""Look a key up by its SHA-256."""
FindById = Callable[[int], Awaitable[KeyHolder | None]]
"""Look a key up by its id."""


class PublicToken(NamedTuple):
    """The public access token of a call."""

    scopes: Scopes
    hash: bytes
    """SHA-256 of what is signed of the token. Not of the signature: base64 can write one in several ways."""
    one_time: OneTimeToken | None = None
    """It makes a run or a batch once."""
    hidden_columns: tuple[str, ...] = ()
    """What subscriptions made with it are not shown."""


class Caller(NamedTuple):
    """Who calls."""

    environment: Environment
    key_id: int
    """The secret key that was sent, or that had asked for the token which was."""
    token: PublicToken | None = None
    """None: the secret key itself was sent."""


class Keys:
    """Secret keys, as far as they were seen lately, and the tokens that were made for them."""

    def __init__(
        self, find: Find, find_by_id: FindById, signer: Signer, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with nothing remembered.

        Args:
            find: Asks the database.
            find_by_id: Asks it by a key's id.
            signer: Checks tokens.
            clock: Seconds; what a remembered answer's age is measured by.
        """
        self._signer = signer
        self._by_hash = Memory(find, lasts=_lasts, clock=clock, most=_MOST)
        self._by_id = Memory(find_by_id, lasts=_lasts, clock=clock, most=_MOST)

    async def authenticate(self, authorization: str | None) -> Caller:
        """Return who calls.

        Args:
            authorization: The header's value.

        Raises:
            Unauthorized: There is no key or token, or none that is known; says what to send.
        """
        if authorization is None:
            raise Unauthorized(f"no API key was sent; {_ADVICE}")
        scheme, _, sent = authorization.partition(" ")
        sent = sent.strip()
        if scheme.lower() != "bearer" or not sent:
            raise Unauthorized(f"the Authorization header holds no bearer key; {_ADVICE}")
        if sent.count(".") == _FULL_STOPS:
            return await self._bearer_of(sent)
        holder = await self._by_hash.get(environments.key_hash(sent))
        if holder is None:
            raise Unauthorized(f"the API key is not known here, or was revoked; {_ADVICE}")
        return Caller(holder.environment, holder.key_id)

    def forget(self) -> None:
        """Ask the database again from now on: keys were made or revoked."""
        self._by_hash.forget()
        self._by_id.forget()
        self._signer.forget()

    async def _bearer_of(self, token: str) -> Caller:
        claims = await self._signer.verify(token)
        holder = await self._by_id.get(claims.key)
        if holder is None or str(holder.id) != claims.sub:
            raise Unauthorized(
                "the public access token counts no more: the API key that asked for it was revoked; "
                "have your server make another one"
            )
        return Caller(holder.environment, holder.key_id, _token(token, claims))


def _lasts(holder: KeyHolder | None) -> float:
    return _UNKNOWN_SECONDS if holder is None else _KNOWN_SECONDS


def _token(token: str, claims: Claims) -> PublicToken:
    hash_ = hashlib.sha256(token.rpartition(".")[0].encode()).digest()
    expires_at = datetime.datetime.fromtimestamp(claims.exp, datetime.UTC)
    return PublicToken(
        Scopes(claims.scopes),
        hash_,
        OneTimeToken(hash_, expires_at) if claims.otu else None,
        () if claims.realtime is None else tuple(claims.realtime.skip_columns),
    )
