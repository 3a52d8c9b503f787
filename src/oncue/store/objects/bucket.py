"""Bucket: objects in S3, Google Cloud Storage or Azure, by way of obstore.

Credentials are the cloud's own environment variables, or what the machine has been given. The store signs addresses by
itself, so that clients send and fetch what is large without the server.
"""

import datetime
from typing import Final, Literal

import obstore
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from oncue.store.objects.stored import OCTETS, StoredObject, told

_CHUNK_BYTES: Final = 256 * 1024
_DELETED_AT_ONCE: Final = 1_000


class Bucket:
    """A store of a cloud, or what is common to it and a folder."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        """Store an object, in place of one of the same key.

        Raises:
            ObjectsUnavailable: The store does not answer, or refuses.
        """
        with told("store", key):
            await obstore.put_async(self._store, key, content, attributes={"Content-Type": content_type})

    async def read(self, key: str) -> StoredObject | None:
        """Begin to read an object; None: there is none.

        Raises:
            ObjectsUnavailable: The store does not answer, or refuses.
        """
        try:
            with told("read", key):
                found = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            return None
        content_type = str(found.attributes.get("Content-Type") or OCTETS)
        return StoredObject(found.meta["size"], content_type, found.stream(min_chunk_size=_CHUNK_BYTES))

    async def size(self, key: str) -> int | None:
        """Return how many bytes an object has; None: there is none.

        Raises:
            ObjectsUnavailable: The store does not answer, or refuses.
        """
        try:
            with told("look up", key):
                return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            return None

    async def copy(self, key: str, to: str) -> None:
        """Store an object under another key as well.

        Raises:
            ObjectsUnavailable: The store does not answer, or refuses.
        """
        with told("copy", key):
            await obstore.copy_async(self._store, key, to)

    async def sign(self, method: Literal["GET", "PUT"], key: str, lifetime: datetime.timedelta) -> str | None:
        """Return an address under which a client may fetch or store an object by itself, without credentials.

        Raises:
            ObjectsUnavailable: There are no credentials to sign with.
        """
        assert isinstance(self._store, S3Store | GCSStore | AzureStore)
        with told("sign an address of", key):
            return await obstore.sign_async(self._store, method, key, lifetime)

    async def below(self, prefix: str) -> list[str]:
        """Return the names of what is directly below a prefix, each without it.

        Raises:
            ObjectsUnavailable: The store does not answer, or refuses.
        """
        with told("list", prefix):
            found = await obstore.list_with_delimiter_async(self._store, prefix)
        return [name.rpartition("/")[2] for name in found["common_prefixes"]]

    async def delete_below(self, prefix: str) -> int:
        """Delete everything below a prefix; return how many objects that were.

        Raises:
            ObjectsUnavailable: The store does not answer, or refuses.
        """
        deleted = 0
        with told("delete what is below", prefix):
            async for group in obstore.list(self._store, prefix, chunk_size=_DELETED_AT_ONCE):
                await obstore.delete_async(self._store, [each["path"] for each in group])
                deleted += len(group)
        return deleted
