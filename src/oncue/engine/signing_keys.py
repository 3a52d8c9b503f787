"""Signing keys: what public access tokens are signed with.

One key signs. It is made when the first server starts, and replaced when an operator says so; tokens that a replaced
key has signed count until they expire, unless it is known to have leaked. How tokens are signed and checked is decided
in ``api/signing``.
"""

import datetime
import secrets
from typing import Final

import msgspec

from oncue.protocol import limits
from oncue.store import queries
from oncue.store.pool import Tx

_SECRET_BYTES: Final = 32
"""As long as what HMAC-SHA-256 makes of it: RFC 7518 §3.2 asks for no less."""
_KID_BYTES: Final = 6
_LONGEST: Final = datetime.timedelta(seconds=limits.MAX_PUBLIC_TOKEN_LIFETIME_S, minutes=1)
"""A token lives no longer; a server that has not heard of the new key yet signs with the old one for some seconds."""


class SigningKey(msgspec.Struct, frozen=True):
    """A key whose tokens count."""

    kid: str
    secret: bytes
    signs: bool


_sql = queries.load("signing_keys")
_ensure = _sql.none("ensure")
_lock = _sql.none("lock")
_retire = _sql.none("retire")
_make = _sql.none("make")
_in_force = _sql.many("in_force", SigningKey)
_forget = _sql.none("forget")


async def ensure(tx: Tx) -> None:
    """Make a key unless there is one that signs."""
    await _ensure(tx, **_drawn())


async def rotate(tx: Tx, *, at_once: bool = False) -> str:
    """Have another key sign from now on.

    Args:
        at_once: Tokens signed so far count no more, as if their key had leaked; else until they expire.

    Returns:
        The new key's ``kid``.
    """
    # Two at once would both retire the key of before, and make one each.
    await _lock(tx)
    await _retire(tx)
    drawn = _drawn()
    await _make(tx, **drawn)
    if at_once:
        await _forget(tx, longest=datetime.timedelta())
    return str(drawn["kid"])


async def in_force(tx: Tx) -> list[SigningKey]:
    """Return the key that signs, and then those whose tokens may not have expired yet."""
    return await _in_force(tx, longest=_LONGEST)


async def forget(tx: Tx) -> None:
    """Drop keys whose tokens have all expired."""
    await _forget(tx, longest=_LONGEST)


def _drawn() -> dict[str, object]:
    return {"kid": secrets.token_hex(_KID_BYTES), "secret": secrets.token_bytes(_SECRET_BYTES)}
