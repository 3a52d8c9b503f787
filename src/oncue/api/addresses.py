"""Addresses: how a caller reaches this server, for what is handed out to be called later."""

from oncue.api.calls import Call


def base(call: Call) -> str:
    """Return the address under which a call has reached the server, without a slash at the end."""
    host = call.header(b"host") or "localhost"
    # Of several proxies the first one is nearest to the caller.
    scheme = (call.header(b"x-forwarded-proto") or "").partition(",")[0].strip().lower()
    return f"{scheme if scheme in ('http', 'https') else call.scope['scheme']}://{host}"


async def of_document(call: Call, path: str) -> str:
    """Return where the caller can fetch a stored document.

    Raises:
        BadRequest: The path is none.
        ObjectsUnavailable: The store does not answer.
    """
    return await call.services.packets.download_address(call.environment, path, base(call))
