"""Public access tokens for tests: asked for as a backend does, or signed by hand with whatever they shall say."""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt

from oncue.api.signing import Signer
from oncue.engine import environments, signing_keys
from oncue.engine.signing_keys import SigningKey
from oncue.store.pool import Connection, connect
from tests.api.client import Client

MINT = "/api/v1/auth/public-tokens"


async def minted(client: Client, *scopes: str, **asked: Any) -> str:
    """Ask for a token with a client's key."""
    reply = await client.post(MINT, {"scopes": list(scopes), **asked})
    assert reply.status == 200, reply
    return str(reply.body["token"])


@contextlib.asynccontextmanager
async def bearing(client: Client, *scopes: str, **asked: Any) -> AsyncIterator[Client]:
    """Lend a client that has a token with these scopes instead of the key."""
    async with Client(client.url, await minted(client, *scopes, **asked)) as bearer:
        yield bearer


def said(token: str) -> dict[str, Any]:
    """Return what a token says, unchecked."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


class Forge:
    """Signs tokens as a server on a database would, or as one would that has another key."""

    def __init__(self, keys: list[SigningKey], key_id: int, environment: int) -> None:
        self.keys, self.key_id, self.environment = keys, key_id, environment

    @classmethod
    async def open(cls, connection: Connection, secret: str) -> "Forge":
        """Sign for a secret key that the database knows."""
        async with connection.transaction():
            holder = await environments.authenticate(connection, environments.key_hash(secret))
            assert holder is not None
            return cls(await signing_keys.in_force(connection), holder.key_id, holder.id)

    async def sign(self, *scopes: str, lasts: int = 900, one_time: bool = False, key: SigningKey | None = None) -> str:
        """Return a token."""

        async def load() -> list[SigningKey]:
            return self.keys if key is None else [key]

        signer = Signer(load)
        expires = int(time.time()) + lasts
        signed = await signer.sign(self.environment, self.key_id, list(scopes), expires=expires, one_time=one_time)
        return signed.decode()


@contextlib.asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connection]:
    """Lend a connection."""
    connection = await connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()
