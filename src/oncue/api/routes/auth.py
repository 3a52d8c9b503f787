"""Auth: public access tokens for browsers, asked for with a secret key.

Source: wire contract §3.1.
"""

import re
from typing import Final

from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.protocol import columns, limits, scopes
from oncue.protocol.errors import BadRequest
from oncue.protocol.public_tokens import CommonClaims, PublicTokenRequest, PublicTokenResponse

_DEFAULT_LIFETIME_S: Final = 15 * 60
_SPAN: Final = re.compile(
    r"\+?\s?(?P<number>\d{1,9}(?:\.\d{1,9})?)\s?"
    r"(?:(?P<s>s|secs?|seconds?)|(?P<m>m|mins?|minutes?)|(?P<h>h|hrs?|hours?)|(?P<d>d|days?)|(?P<w>w|weeks?))"
    r"(?: from now)?",
    re.IGNORECASE | re.ASCII,
)
"""As the official client's own library reads it, without what lies in the past or is longer than a token lives."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


async def public_token(call: Call, request: PublicTokenRequest) -> Answer:
    """Sign a token."""
    _check(request)
    signer = call.services.signer
    now = signer.now()
    token = await signer.sign(
        call.environment.id,
        call.caller.key_id,
        request.scopes,
        expires=_expires(request.expiration_time, now),
        issued=now,
        # Each has a rate limit of its own, and two pages may ask in the same second.
        is_distinct=True,
        one_time=request.one_time_use,
        realtime=request.realtime,
    )
    if len(token) > limits.MAX_PUBLIC_TOKEN_BYTES:
        raise BadRequest(
            f"the token would have {len(token):,} bytes, and at most {limits.MAX_PUBLIC_TOKEN_BYTES:,} fit into the "
            "header of a request; ask for fewer scopes"
        )
    return Answer(PublicTokenResponse(token.decode()))


async def claims(call: Call, _: None) -> Answer:
    """Show what every token of the environment says."""
    return Answer(CommonClaims(str(call.environment.id)))


def _check(request: PublicTokenRequest) -> None:
    if not request.scopes:
        raise BadRequest('scopes is empty; expected one or more, such as "read:runs:run_..."')
    for at, scope in enumerate(request.scopes):
        found = scopes.parse(scope)
        if found is None or not found.allows_something:
            raise BadRequest(
                f"scopes[{at}]: found {scope[:60]!r}, which would allow nothing; expected admin, action:type or "
                f"action:type:id, with one of the actions {', '.join(scopes.ACTIONS)}"
            )
    for at, column in enumerate(() if request.realtime is None else request.realtime.skip_columns):
        # What is not hidden though it was to be is shown to everybody who has the token.
        if column not in columns.OPTIONAL:
            raise BadRequest(
                f"realtime.skipColumns[{at}]: found {column[:60]!r}; expected any of {', '.join(columns.OPTIONAL)}"
            )


def _expires(asked: str | float | None, now: int) -> int:
    """Return the second from which on a token counts no more.

    Raises:
        BadRequest: It is no moment, has passed, or is too far away.
    """
    if asked is None:
        return now + _DEFAULT_LIFETIME_S
    if isinstance(asked, str):
        span = _SPAN.fullmatch(asked)
        if span is None:
            raise BadRequest(f"expirationTime: found {asked[:60]!r}; expected 1h, 15m, or seconds since 1970")
        asked = now + float(span["number"]) * next(length for unit, length in _SECONDS.items() if span[unit])
    latest = now + limits.MAX_PUBLIC_TOKEN_LIFETIME_S
    # Compared before it is rounded: a number may be larger than any moment.
    if not now < asked <= latest or int(asked) <= now:
        raise BadRequest(
            f"expirationTime: found {asked:.15g}; expected after {now} and no later than {latest}, 30 days"
        )
    return int(asked)


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/auth/public-tokens",
        handle=public_token,
        summary="Make a public access token",
        body=PublicTokenRequest,
        answer=PublicTokenResponse,
    ),
    Route(
        method="POST",
        path="/api/v1/auth/jwt/claims",
        rate_limited=False,
        handle=claims,
        summary="Show what every public access token of the environment says",
        answer=CommonClaims,
    ),
)
