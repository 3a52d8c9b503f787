"""Folder: objects in a folder of this machine, or one that several machines share.

A file system keeps no content type, so it stands in a file beside the object's. Addresses for clients are the server's
own to sign. What arrives as a stream is written aside and takes its place when it is complete.
"""

import asyncio
import contextlib
import datetime
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from oncue.protocol.errors import BadRequest
from oncue.store.errors import ObjectsMisconfigured
from oncue.store.objects.bucket import Bucket
from oncue.store.objects.stored import OCTETS, StoredObject, told

_TYPE: Final = ".~type"
"""Ends the name of the file that has an object's content type; no key has a tilde."""
_INCOMING: Final = "~incoming"
_WRITE_BYTES: Final = 1024 * 1024
_STALE_SECONDS: Final = 86_400
"""What has been on its way for so long will not arrive."""


class Folder(Bucket):
    """Objects as files below a folder, which is made if it is not there."""

    def __init__(self, path: Path) -> None:
        """Open a folder.

        Raises:
            ObjectsMisconfigured: It cannot be made.
        """
        self._path = path.absolute()
        try:
            super().__init__(LocalStore(self._path, mkdir=True))
            _sweep(self._path / _INCOMING)
        except (BaseError, OSError) as error:
            raise ObjectsMisconfigured(
                f"the folder {self._path} for large payloads and outputs cannot be made ({type(error).__name__}); let "
                "this user write there, or choose another place with ONCUE_OBJECTS_URL"
            ) from error

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        """Store an object; errors as for ``Bucket.put``."""

        async def whole() -> AsyncIterator[bytes]:
            yield content

        await self.receive(key, whole(), content_type)

    async def receive(self, key: str, chunks: AsyncIterator[bytes], content_type: str) -> int:
        """Store an object as it arrives, whole or not at all; return how many bytes it has.

        Raises:
            BadRequest: A folder has the object's name, or an object that of a folder on its way.
            ObjectsUnavailable: The folder cannot be written.
            Exception: Whatever ``chunks`` raises; then nothing is stored.
        """
        incoming = self._path / _INCOMING / secrets.token_hex(16)
        try:
            with told("store", key):
                size = await _write(incoming, chunks)
                await asyncio.to_thread(self._place, incoming, key, content_type)
        finally:
            await asyncio.to_thread(_discard, incoming)
        return size

    async def read(self, key: str) -> StoredObject | None:
        """Begin to read an object; as for ``Bucket.read``."""
        found = await super().read(key)
        if found is None:
            return None
        try:
            with told("read", key):
                of_type = await obstore.get_async(self._store, key + _TYPE)
                return found._replace(content_type=bytes(await of_type.bytes_async()).decode())
        except FileNotFoundError:
            return found._replace(content_type=OCTETS)

    async def copy(self, key: str, to: str) -> None:
        """Store an object under another key as well; errors as for ``Bucket.copy``."""
        with contextlib.suppress(FileNotFoundError):
            await super().copy(key + _TYPE, to + _TYPE)
        await super().copy(key, to)

    async def sign(self, _method: Literal["GET", "PUT"], _key: str, _lifetime: datetime.timedelta) -> None:
        """Return nothing: a folder has no addresses."""
        return

    async def delete_below(self, prefix: str) -> int:
        """Delete everything below a prefix, folders too; as for ``Bucket.delete_below``."""
        with told("delete what is below", prefix), contextlib.suppress(FileNotFoundError):
            return await asyncio.to_thread(_delete_tree, self._path / prefix)
        return 0

    def _place(self, incoming: Path, key: str, content_type: str) -> None:
        """Give a file that is complete its name, and make it last."""
        target = self._path / key
        try:
            _make_folders(target.parent, self._path)
            # The type first: whoever finds the object finds its type.
            of_type = incoming.with_suffix(_TYPE)
            of_type.write_text(content_type)
            of_type.replace(target.with_name(target.name + _TYPE))
            incoming.replace(target)
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            raise BadRequest(
                "Invalid packet storage path: an object is in the place of one of its folders, or a folder in its own; "
                "choose another name"
            ) from None
        _sync(target.parent)


async def _write(path: Path, chunks: AsyncIterator[bytes]) -> int:
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    size = 0
    file = await asyncio.to_thread(path.open, "wb")
    try:
        held = bytearray()
        async for chunk in chunks:
            size += len(chunk)
            if len(chunk) >= _WRITE_BYTES and not held:
                await asyncio.to_thread(file.write, chunk)
                continue
            held += chunk
            if len(held) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, held)
                held = bytearray()
        await asyncio.to_thread(file.write, held)
        # Acknowledged means kept: the run that names the object is committed after this.
        await asyncio.to_thread(file.flush)
        await asyncio.to_thread(os.fsync, file.fileno())
    finally:
        await asyncio.to_thread(file.close)
    return size


def _make_folders(folder: Path, root: Path) -> None:
    """Make a folder below another with those on its way, each to last."""
    if folder == root or folder.is_dir():
        return
    _make_folders(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Have the names in a folder outlive a power failure, where the system can say so of a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_tree(path: Path) -> int:
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else []
    shutil.rmtree(path)
    return sum(not each.name.endswith(_TYPE) for each in files)


def _discard(incoming: Path) -> None:
    for path in (incoming, incoming.with_suffix(_TYPE)):
        # Where it cannot be deleted, what went wrong before says more.
        with contextlib.suppress(OSError):
            path.unlink()


def _sweep(folder: Path) -> None:
    """Delete what a server that died has left behind half written."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                path.unlink()
