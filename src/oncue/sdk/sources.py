"""Sources: the items of a stream, taken in chunks as they come.

A chunk ends where it is full, or where its first item has waited for a while: the runs of a slow stream start although
it goes on. No more than one chunk is taken ahead of what was sent, so that a stream of any length takes the memory of
two chunks.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Final, NamedTuple

from oncue.protocol import limits

CHUNK: Final = limits.MAX_BATCH_ITEMS
"""Items that are taken at once."""

PATIENCE_S: Final = 0.3
"""How long an item waits for others to be sent with."""


class Chunk(NamedTuple):
    """The next items."""

    items: list[object]
    ended: bool
    """There are no more."""
    error: BaseException | None = None
    """What the stream raised after these."""


class Source:
    """A stream of items, pulled by the one sender of its batch."""

    def __init__(self, given: Iterable[object] | AsyncIterable[object], *, patience_s: float = PATIENCE_S) -> None:
        """Take a stream; nothing is pulled yet.

        Args:
            given: The items.
            patience_s: How long an item waits for others.
        """
        self._given, self._patience_s = given, patience_s
        self._iterator: Iterator[object] | None = None
        self._pump: _Pump | None = None

    async def pull(self) -> Chunk:
        """Return the next items, at least one unless the stream has ended; on an event loop."""
        if not isinstance(self._given, AsyncIterable):
            return self.pull_blocking()
        if self._pump is None:
            self._pump = _Pump(self._given, self._patience_s)
        return await self._pump.pull()

    def pull_blocking(self) -> Chunk:
        """Return the next items of what is no async iterable."""
        assert not isinstance(self._given, AsyncIterable)
        items: list[object] = []
        deadline_s = 0.0
        try:
            if self._iterator is None:
                self._iterator = iter(self._given)
            for each in self._iterator:
                items.append(each)
                deadline_s = deadline_s or time.monotonic() + self._patience_s
                if len(items) >= CHUNK or time.monotonic() >= deadline_s:
                    return Chunk(items, ended=False)
        except Exception as error:  # noqa: BLE001 - user code; it is raised where its batch has been given up
            return Chunk(items, ended=True, error=error)
        return Chunk(items, ended=True)

    def close(self) -> None:
        """Pull no more."""
        if self._pump is not None:
            self._pump.close()


class _Pump:
    """Takes the items of an async iterable, up to a chunk ahead."""

    def __init__(self, given: AsyncIterable[object], patience_s: float) -> None:
        self._given, self._patience_s = given, patience_s
        self._items: list[object] = []
        self._has_some = asyncio.Event()
        self._is_full = asyncio.Event()
        self._has_room = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def pull(self) -> Chunk:
        """Return what has come, once it is a chunk or the first of it has waited for long enough."""
        try:
            await self._has_some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await self._is_full.wait()
        except asyncio.CancelledError:
            self.close()
            raise
        items, self._items = self._items, []
        if not self._task.done():
            self._has_some.clear()
            self._is_full.clear()
            self._has_room.set()
            return Chunk(items, ended=False)
        return Chunk(items, ended=True, error=self._task.exception())

    def close(self) -> None:
        """Take no more."""
        self._task.cancel()

    async def _run(self) -> None:
        async for each in self._given:
            self._items.append(each)
            self._has_some.set()
            if len(self._items) >= CHUNK:
                self._has_room.clear()
                self._is_full.set()
                await self._has_room.wait()

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._has_some.set()
        self._is_full.set()
