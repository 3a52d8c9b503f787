"""Answer tokens: what comes with the answer of who makes something, so that a browser may look at it.

Every answer to a trigger carries one, so nothing is looked up for it. It dies with the secret key that was sent, or
that had asked for the token which was; and hides what that token hides.

Source: wire contract §2.1, §2.2, §5.
"""

from typing import Final

from oncue.api import access
from oncue.api.answers import encode
from oncue.api.calls import Call
from oncue.protocol import scopes
from oncue.protocol.public_tokens import CommonClaims, Realtime

_TOKEN: Final = b"x-trigger-jwt"
_CLAIMS: Final = b"x-trigger-jwt-claims"
_CLIENT: Final = b"x-trigger-client"
_HOUR: Final = 3_600
_DAY: Final = 24 * _HOUR

Headers = tuple[tuple[bytes, bytes], ...]


async def for_run(call: Call, run: str) -> Headers:
    """Return the headers that let their reader look at a run, and send it input."""
    granted = [scopes.show("read", "runs", run), scopes.show("write", "inputStreams", run)]
    return await _headers(call, granted, _HOUR)


async def for_batch(call: Call, batch: str) -> Headers:
    """Return the headers that let their reader look at a batch; a browser that may batch anything may fill it too."""
    granted = [scopes.show("read", "batch", batch)]
    if call.header(_CLIENT) == "browser" and access.may_batch_anything(call):
        granted.append(scopes.show("write", "batch", batch))
    return await _headers(call, granted, _HOUR)


async def for_waitpoint(call: Call, token: str) -> Headers:
    """Return the headers that let their reader complete a token that runs wait for."""
    return await _headers(call, [scopes.show("write", "waitpoints", token)], _DAY)


async def _headers(call: Call, granted: list[str], lifetime: int) -> Headers:
    signer, caller = call.services.signer, call.caller
    hidden = () if caller.token is None else caller.token.hidden_columns
    now = signer.now()
    token = await signer.sign(
        caller.environment.id,
        caller.key_id,
        granted,
        expires=now + lifetime,
        issued=now,
        realtime=Realtime(list(hidden)) if hidden else None,
    )
    return (_TOKEN, token), (_CLAIMS, encode(CommonClaims(str(caller.environment.id))))
