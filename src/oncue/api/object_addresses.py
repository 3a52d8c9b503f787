"""Object addresses: what lets a client store or fetch one object of a folder by itself, for a limited time.

A cloud signs addresses of its own; for a folder the server does. The signature covers the method, the object and the
moment until which it counts, and is made with a secret of the object's environment.
"""

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote, urlencode

from oncue.protocol.errors import PermissionDenied

PREFIX: Final = "/objects/"
"""Below it every object of a folder has its path."""

_ADVICE: Final = "ask for a new one with GET /api/v1/packets/<path>, or PUT /api/v2/packets/<name> to store"

Method = Literal["GET", "PUT"]


def signed(base: str, method: Method, key: str, secret: bytes, until: datetime.datetime) -> str:
    """Return an address that counts for one method and one object.

    Args:
        base: How the caller reaches the server.
        method: What may be done there.
        key: Of the object.
        secret: Of its environment.
        until: The moment after which it counts no more.
    """
    expires = str(int(until.timestamp()))
    query = urlencode({"expires": expires, "signature": _signature(method, key, expires, secret)})
    return f"{base}{PREFIX}{quote(key)}?{query}"


def check(method: Method, key: str, query: Mapping[str, str], secret: bytes | None, now: datetime.datetime) -> None:
    """Let a caller pass whose address was signed for this.

    Args:
        method: What is asked for.
        key: Of the object.
        query: The address's.
        secret: Of the object's environment; None where there is no such environment.
        now: The moment.

    Raises:
        PermissionDenied: It was not, or counts no more.
    """
    expires = query.get("expires", "")
    expected = _signature(method, key, expires, secret or b"")
    given = query.get("signature", "")
    if secret is None or not given.isascii() or not hmac.compare_digest(expected, given):
        raise PermissionDenied(f"this address was not signed by the server for {method}; {_ADVICE}")
    if int(expires) < now.timestamp():
        raise PermissionDenied(f"this address counts no more; {_ADVICE}")


def _signature(method: Method, key: str, expires: str, secret: bytes) -> str:
    return hmac.new(secret, f"{method}\n{key}\n{expires}".encode(), hashlib.sha256).hexdigest()
