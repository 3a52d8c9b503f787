"""Signing: claims become public access tokens, and tokens claims.

JWTs, HS256. Signed here by hand, since every answer to a trigger carries one; checked by PyJWT, since what arrives may
be anything. The keys are the database's; a server remembers them for a few seconds and asks again when it hears that
keys have changed, as it does with secret keys (``auth``).

Source: wire contract §3.1, §3.3.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import jwt
import msgspec

from oncue.api.memory import Memory
from oncue.engine.signing_keys import SigningKey
from oncue.protocol.errors import Unauthorized
from oncue.protocol.public_tokens import AUDIENCE, ISSUER, Claims, Realtime

_KNOWN_SECONDS: Final = 5.0
_UNKNOWN_SECONDS: Final = 1.0
"""Before the database is asked again because of a key that nobody knows."""
_JTI_BYTES: Final = 16
_ALGORITHM: Final = "HS256"
# Moments are compared here, by a clock that tests can set.
_CHECKS: Final[jwt.types.Options] = {
    "require": ["iss", "aud", "sub", "exp"], "verify_exp": False, "verify_iat": False, "verify_nbf": False,
}  # fmt: skip
_ADVICE: Final = "ask for a new one with POST /api/v1/auth/public-tokens"
_encode: Final = msgspec.json.Encoder().encode

Load = Callable[[], Awaitable[Sequence[SigningKey]]]
"""Asks the database for the keys in force, first the one that signs."""


class _Known(NamedTuple):
    keys: dict[str, bytes]
    secret: bytes
    """Of the key that signs."""
    head: bytes
    """Of its tokens, encoded, with the full stop."""
    asked: float
    """When the database was asked for them."""


class Signer:
    """Signs tokens, and checks what they say."""

    def __init__(
        self,
        load: Load,
        *,
        clock: Callable[[], float] = time.time,
        age: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with no key known.

        Args:
            load: Asks the database.
            clock: Seconds since 1970; what tokens are dated and expire by.
            age: Seconds; what the age of remembered keys is measured by.
        """
        self._load, self._clock, self._age = load, clock, age
        self._memory = Memory[None, _Known](self._ask, lasts=lambda _: _KNOWN_SECONDS, clock=age)

    def now(self) -> int:
        """Return the moment, in seconds since 1970."""
        return int(self._clock())

    async def sign(
        self,
        environment: int,
        key: int,
        scopes: list[str],
        *,
        expires: int,
        issued: int | None = None,
        is_distinct: bool = False,
        one_time: bool = False,
        realtime: Realtime | None = None,
    ) -> bytes:
        """Return a token.

        Args:
            environment: Id of the environment in which it counts.
            key: Id of the secret key with which it dies.
            scopes: What it lets its bearer do.
            expires: The second since 1970 from which on it counts no more.
            issued: The second in which it was asked for; None: this one.
            is_distinct: It differs from every other, if one says the same.
            one_time: It makes a run or a batch once.
            realtime: What subscriptions made with it are not shown.
        """
        known = await self._memory.get(None)
        claims = Claims(
            iss=ISSUER,
            aud=AUDIENCE,
            sub=str(environment),
            pub=True,
            key=key,
            scopes=scopes,
            iat=self.now() if issued is None else issued,
            exp=expires,
            jti=secrets.token_hex(_JTI_BYTES) if is_distinct or one_time else None,
            otu=one_time,
            realtime=realtime,
        )
        signed = known.head + _base64(_encode(claims))
        return signed + b"." + _base64(hmac.digest(known.secret, signed, "sha256"))

    async def verify(self, token: str) -> Claims:
        """Return what a token says.

        Raises:
            Unauthorized: It was not signed here, was signed with a key that is out of force, or has expired.
        """
        secret = await self._secret_of(token)
        try:
            payload = jwt.decode(
                token, secret, algorithms=[_ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_CHECKS
            )
            claims = msgspec.convert(payload, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, RecursionError):
            raise _invalid() from None
        if not claims.pub:
            raise _invalid()
        if claims.exp <= self._clock():
            raise Unauthorized(f"the public access token has expired; {_ADVICE}")
        return claims

    def forget(self) -> None:
        """Ask the database again from now on: keys were made or retired."""
        self._memory.forget()

    async def _secret_of(self, token: str) -> bytes:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.InvalidTokenError, RecursionError):
            raise _invalid() from None
        known = await self._memory.get(None)
        if kid not in known.keys and known.asked + _UNKNOWN_SECONDS <= self._age():
            # Another server may have begun to sign with a key that we have not heard of.
            known = await self._memory.get(None, instead_of=known)
        secret = known.keys.get(kid) if isinstance(kid, str) else None
        if secret is None:
            raise _invalid()
        return secret

    async def _ask(self, _: None) -> _Known:
        keys = await self._load()
        signing = keys[0]
        head = _base64(_encode({"alg": _ALGORITHM, "kid": signing.kid})) + b"."
        return _Known({key.kid: key.secret for key in keys}, signing.secret, head, self._age())


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def _invalid() -> Unauthorized:
    return Unauthorized(f"the public access token is invalid: it was not signed here, or its key is gone; {_ADVICE}")
