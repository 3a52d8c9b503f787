"""Auth: a bearer key becomes the environment it acts in.

Keys are known by their SHA-256 only, and looked up by it: no secret is compared with another, and the time a look-up
takes says nothing about a key. Answers are remembered for a few seconds so that a hot key costs no query; a revoked
key stops at once where it was revoked and on every server that hears of it, and after those seconds anyway.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from oncue.engine import environments
from oncue.engine.rows import Environment
from oncue.protocol.errors import Unauthorized

_KNOWN_SECONDS: Final = 5.0
_UNKNOWN_SECONDS: Final = 1.0
"""Long enough to blunt a client that hammers with a wrong key, short for a key that was made just now."""
_MOST: Final = 10_000
_ADVICE: Final = "send Authorization: Bearer tr_<env>_sk_..., the secret key of an environment (TRIGGER_SECRET_KEY)"

Find = Callable[[bytes], Awaitable[Environment | None]]
"""Look a key up by its SHA-256."""


class _Remembered(NamedTuple):
    environment: Environment | None
    until: float


class Keys:
    """Secret keys, as far as they were seen lately."""

    def __init__(self, find: Find, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing remembered.

        Args:
            find: Asks the database.
            clock: Seconds; what a remembered answer's age is measured by.
        """
        self._find, self._clock = find, clock
        self._seen: dict[bytes, _Remembered] = {}

    async def authenticate(self, authorization: str | None) -> Environment:
        """Return the environment of the caller's key.

        Args:
            authorization: The header's value.

        Raises:
            Unauthorized: There is no key, or none that is known; says what to send.
        """
        if authorization is None:
            raise Unauthorized(f"no API key was sent; {_ADVICE}")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthorized(f"the Authorization header holds no bearer key; {_ADVICE}")
        digest = environments.key_hash(key.strip())
        remembered = self._seen.get(digest)
        if remembered is None or remembered.until <= self._clock():
            remembered = await self._ask(digest)
        if remembered.environment is None:
            raise Unauthorized(f"the API key is not known here, or was revoked; {_ADVICE}")
        return remembered.environment

    def forget(self) -> None:
        """Ask the database again from now on: keys were made or revoked."""
        self._seen.clear()

    async def _ask(self, digest: bytes) -> _Remembered:
        environment = await self._find(digest)
        lasts = _UNKNOWN_SECONDS if environment is None else _KNOWN_SECONDS
        remembered = _Remembered(environment, self._clock() + lasts)
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[digest] = remembered
        return remembered
