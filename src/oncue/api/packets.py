"""Packets: documents in the object store, under keys that nobody but their environment can name.

A key is place, day and name: the place is the environment's, which the server puts there and never reads from a path;
days, so that objects go with the runs of their day. A path, which is what callers see, is day and name;
before the name that the caller chose stands one that makes it unique.

Life of a run, this module's part::

    api/routes/tasks, batches -> offloading -> Packets.keep, adopt -> store/objects
"""

import asyncio
import contextlib
import datetime
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from oncue.api import object_addresses
from oncue.api.object_addresses import Method
from oncue.engine.environments import Storage
from oncue.engine.rows import Environment
from oncue.protocol import packets
from oncue.protocol.errors import BadRequest
from oncue.store.errors import ObjectsUnavailable
from oncue.store.objects import Objects

Find = Callable[[], Awaitable[Sequence[Storage]]]
"""Looks up where the objects of all environments are."""

_AGAIN_SECONDS: Final = 1.0
"""A place that is not known is looked for no more often: anybody may name one."""


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
        find: Find,
        day: Callable[[], datetime.date] = today,
    ) -> None:
        """Keep them in a store.

        Args:
            objects: The store.
            lifetime: For how long an address counts.
            find: Asks the database where they are.
            day: The day it is.
        """
        self.objects = objects
        self._lifetime, self._find, self._day = lifetime, find, day
        self._storages: dict[int, Storage] = {}
        self._looked_at = -math.inf

    async def upload_address(self, environment: Environment, name: str, base: str) -> packets.PresignedUpload:
        """Return where a client may store a document, and the path that it then has.

        Raises:
            BadRequest: The name is none.
            ObjectsUnavailable: The store does not answer.
        """
        path = self._new_path(packets.checked_name(name))
        return packets.PresignedUpload(await self._address("PUT", environment, path, base), path)

    async def download_address(self, environment: Environment, path: str, base: str) -> str:
        """Return where a client may fetch a document.

        Raises:
            BadRequest: The path is none.
            ObjectsUnavailable: The store does not answer.
        """
        return await self._address("GET", environment, path, base)

    async def keep(self, environment: Environment, document: bytes, type_: str) -> str:
        """Store a document, and return its path.

        Raises:
            ObjectsUnavailable: The store does not answer.
        """
        name = await asyncio.to_thread(packets.name, document, type_)
        path = self._new_path(name)
        await self.objects.put(await self._key(environment, path), document, type_)
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
            ObjectsUnavailable: The store does not answer.
        """
        key = await self._key(environment, path)
        size = await self.objects.size(key)
        if size is None:
            raise _never_stored(what, path)
        if size > limit_bytes:
            raise packets.too_large(what, size, limit_bytes)
        day, name = packets.checked_path(path)
        now = self._day()
        if day >= now - datetime.timedelta(days=1):
            return path
        # It would go with the runs of its day, long before this one.
        lasting = f"{now}/{packets.copied_name(day, name)}"
        try:
            await self.objects.copy(key, await self._key(environment, lasting))
        except FileNotFoundError:
            raise _never_stored(what, path) from None
        return lasting

    async def probe(self) -> None:
        """Have the log say at the start that the store is not to be had, rather than at the first large payload."""
        with contextlib.suppress(ObjectsUnavailable):
            await self.objects.below("probe")

    async def storage_at(self, place: str) -> Storage | None:
        """Return what is known of a place that an address names; None: it is no environment's."""
        known = self._known_at(place)
        if known is None and time.monotonic() - self._looked_at >= _AGAIN_SECONDS:
            await self._look()
            known = self._known_at(place)
        return known

    def _known_at(self, place: str) -> Storage | None:
        return next((storage for storage in self._storages.values() if storage.place == place), None)

    def _new_path(self, name: str) -> str:
        """Return a path that nobody has: who stores by a name takes nothing from others who use it too."""
        return f"{self._day()}/{secrets.token_hex(12)}/{name}"

    async def _storage(self, environment: Environment) -> Storage:
        if environment.id not in self._storages:
            await self._look()
        return self._storages[environment.id]

    async def _look(self) -> None:
        self._looked_at = time.monotonic()
        self._storages = {storage.env_id: storage for storage in await self._find()}

    async def _key(self, environment: Environment, path: str) -> str:
        day, name = packets.checked_path(path)
        return f"{(await self._storage(environment)).place}/{day}/{name}"

    async def _address(self, method: Method, environment: Environment, path: str, base: str) -> str:
        key = await self._key(environment, path)
        address = await self.objects.sign(method, key, self._lifetime)
        if address is not None:
            return address
        secret = (await self._storage(environment)).secret
        return object_addresses.signed(base, method, key, secret, datetime.datetime.now(datetime.UTC) + self._lifetime)


def _never_stored(what: packets.Kind, path: str) -> BadRequest:
    return BadRequest(f"{what}: nothing is stored at {path!r}; store it first, at the address of PUT /api/v2/packets")
