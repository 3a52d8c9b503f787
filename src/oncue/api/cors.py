"""CORS: which pages may call from a browser.

Routes that public access tokens may use answer the browser's question beforehand, and say on every answer, refusals
too, which pages may read it. Other routes say nothing, which keeps pages out: a secret key has no place in one.
Credentials are never asked for: a token is sent by the page's own code, and there are no cookies.

Source: wire contract §1.6.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Scope

from oncue.api.calls import Answer

ANY: Final = "*"
_SECONDS: Final = b"300"
"""For which a browser need not ask again."""
_READ: Final = (
    "x-trigger-jwt",
    "x-trigger-jwt-claims",
    "x-should-retry",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    # Without these a subscription in a browser hangs and says nothing, and a stream is misread.
    "electric-cursor",
    "electric-handle",
    "electric-offset",
    "electric-schema",
    "electric-up-to-date",
    "electric-shape-id",
    "electric-chunk-last-offset",
    "x-stream-version",
)
"""Headers of answers that official clients read."""
_EXPOSED: Final = (
    b"access-control-expose-headers",
    ", ".join(_READ).encode(),
)
_ORIGIN: Final = b"access-control-allow-origin"
_VARY: Final = (b"vary", b"origin")
_OPEN: Final = ((_ORIGIN, b"*"), _EXPOSED)

Headers = tuple[tuple[bytes, bytes], ...]


def headers(origins: Sequence[str], scope: Scope) -> Headers:
    """Return what an answer says about which pages may read it.

    Args:
        origins: Those that may; ``*`` among them: all.
        scope: The request.
    """
    if ANY in origins:
        return _OPEN
    origin = _header(scope, b"origin")
    if origin is None or str(origin, "latin-1") not in origins:
        return (_VARY,)
    return (_ORIGIN, origin), _EXPOSED, _VARY


def preflight(origins: Sequence[str], scope: Scope, methods: Iterable[str]) -> Answer:
    """Answer a browser that asks whether a page may send a request.

    Args:
        origins: Pages that may.
        scope: The browser's request.
        methods: Those that pages may use here.
    """
    said = headers(origins, scope)
    if any(name == _ORIGIN for name, _ in said):
        asked = _header(scope, b"access-control-request-headers")
        said = (
            *said,
            (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
            *(() if asked is None else ((b"access-control-allow-headers", asked),)),
            (b"access-control-max-age", _SECONDS),
        )
    return Answer(b"", headers=said)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
