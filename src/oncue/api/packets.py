"""Packets: documents in the object store, under keys that nobody but their environment can name.

A key is day, environment and name: days so that objects go with the runs of their day, the environment because the
server puts it there and never reads it from a path. A path, which is what callers see, is day and name.

Life of a run, this module's part::

    api/routes/tasks, batches -> offloading -> Packets.keep, adopt -> store/objects
"""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import Final

from oncue.api import object_addresses
from oncue.api.object_addresses import Method
from oncue.engine.rows import Environment
from oncue.protocol import packets
from oncue.protocol.errors import BadRequest, PayloadTooLarge
from oncue.store.objects import Objects

Secret = Callable[[int], Awaitable[bytes | None]]
"""Returns what addresses of an environment's objects are signed with."""


_LARGEST_ID: Final = 2_147_483_647
"""Of an environment: PostgreSQL's int."""


def today() -> datetime.date:
    """Return the day, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


class Packets:
    """The documents of all environments."""

    def __init__(
        self,
        objects: Objects,
        *,
        lifetime: datetime.timedelta,
        secret: Secret,
        day: Callable[[], datetime.date] = today,
    ) -> None:
        """Keep them in a store.

        Args:
            objects: The store.
            lifetime: For how long an address counts.
            secret: Looks up what addresses are signed with, where the store has none of its own.
            day: The day it is.
        """
        self.objects = objects
        self._lifetime, self._secret, self._day = lifetime, secret, day
        self._secrets: dict[int, bytes] = {}

    async def upload_address(self, environment: Environment, name: str, base: str) -> packets.PresignedUpload:
        """Return where a client may store a document, and the path that it then has.

        Raises:
            BadRequest: The name is none.
        """
        path = f"{self._day()}/{packets.checked_name(name)}"
        return packets.PresignedUpload(await self._address("PUT", environment, path, base), path)

    async def download_address(self, environment: Environment, path: str, base: str) -> str:
        """Return where a client may fetch a document.

        Raises:
            BadRequest: The path is none.
        """
        return await self._address("GET", environment, path, base)

    async def keep(self, environment: Environment, document: bytes, type_: str) -> str:
        """Store a document, and return its path."""
        name = await asyncio.to_thread(packets.name, document, type_)
        path = f"{self._day()}/{name}"
        await self.objects.put(_key(environment, path), document, type_)
        return path

    async def adopt(self, environment: Environment, path: str, what: packets.Kind, limit_bytes: int) -> str:
        """Return the path under which a document that a client has stored lasts as long as a run that is made now.

        Args:
            environment: The caller's.
            path: Where the client has stored it.
            what: What it is to be, for messages.
            limit_bytes: The largest that may be.

        Raises:
            BadRequest: There is no such document.
            PayloadTooLarge: It is larger.
        """
        key = _key(environment, path)
        size = await self.objects.size(key)
        if size is None:
            raise BadRequest(
                f"{what}: nothing is stored at {path!r}; store it first, at the address of PUT /api/v2/packets"
            )
        if size > limit_bytes:
            raise too_large(what, size, limit_bytes)
        day, name = packets.checked_path(path)
        now = self._day()
        if datetime.date.fromisoformat(day) >= now - datetime.timedelta(days=1):
            return path
        # It would go with the runs of its day, long before this one.
        lasting = f"{now}/{name}"
        await self.objects.copy(key, _key(environment, lasting))
        return lasting

    async def secret(self, environment: int) -> bytes | None:
        """Return what addresses of an environment's objects are signed with; None: there is no such environment."""
        known = self._secrets.get(environment)
        if known is None and environment <= _LARGEST_ID and (known := await self._secret(environment)) is not None:
            self._secrets[environment] = known
        return known

    async def _address(self, method: Method, environment: Environment, path: str, base: str) -> str:
        key = _key(environment, path)
        address = await self.objects.sign(method, key, self._lifetime)
        if address is not None:
            return address
        secret = await self.secret(environment.id)
        assert secret is not None, "the caller's environment is there"
        return object_addresses.signed(base, method, key, secret, datetime.datetime.now(datetime.UTC) + self._lifetime)


def too_large(what: str, size: int, limit_bytes: int) -> PayloadTooLarge:
    """Return the refusal of a document that is larger than it may be."""
    advice = "; keep it in a store of your own and pass its address" if what == "payload" else ""
    return PayloadTooLarge(f"{what} is {size:,} bytes; the limit is {limit_bytes:,}{advice}")


def _key(environment: Environment, path: str) -> str:
    day, name = packets.checked_path(path)
    return f"{day}/{environment.id}/{name}"
