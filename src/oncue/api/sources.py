"""Sources: what rooms and feeds read of runs, each call in a transaction of its own.

What is read at once is bounded in bytes: outlines first, where there may be many runs, and then the rows in groups.

Life of a run, this module's part::

    Room, Feeds -> Source -> engine/realtime -> rows
"""

import datetime
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol, TypeVar

from oncue.api import shapes
from oncue.api.shapes import SeveralRuns, Shape
from oncue.engine import realtime
from oncue.engine.realtime import Filling, Outline, ShapeRow
from oncue.store.pool import Tx

T = TypeVar("T")

_GROUP_BYTES: Final = 4 * 1024 * 1024
_GROUP_RUNS: Final = 500
_OUTLINES: Final = 1_000
"""That one statement reads."""


class Read(Protocol):
    """Makes an engine call that changes nothing."""

    async def __call__(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Return what the call returns."""
        ...


class Source:
    """Reads runs."""

    def __init__(self, read: Read) -> None:
        """Read by way of transactions that somebody else opens."""
        self._read = read

    async def shape(self, environment: int, shape: Shape, *, documents: bool) -> list[ShapeRow]:
        """Return all rows of a shape, with no more documents than an answer may hold."""
        return await self._read(lambda tx: shapes.read(tx, environment, shape, documents=documents))

    async def runs(self, environment: int, runs: Collection[uuid.UUID], *, documents: bool) -> list[ShapeRow]:
        """Return few runs whole, in any order."""
        return await self._read(lambda tx: realtime.read_rows(tx, environment, runs, documents=documents))

    async def answer(self, environment: int, runs: Collection[uuid.UUID], *, documents: bool) -> list[ShapeRow]:
        """Return many runs, with no more documents than an answer may hold."""

        async def read(tx: Tx) -> list[ShapeRow]:
            outlines = await realtime.outline(tx, environment, runs)
            return await realtime.read_outlined(tx, environment, outlines, documents=documents)

        return await self._read(read)

    async def outlines(self, environment: int, runs: Collection[uuid.UUID]) -> AsyncIterator[list[Outline]]:
        """Yield outlines of runs, in any order."""
        wanted = list(runs)
        for start in range(0, len(wanted), _OUTLINES):
            yield await self._outline(environment, wanted[start : start + _OUTLINES])

    async def outlined(self, environment: int, shape: SeveralRuns) -> list[Outline]:
        """Return outlines of all rows of a shape."""
        return await self._read(lambda tx: shapes.outline(tx, environment, shape))

    async def recent(
        self, environment: int, tags: Collection[str] | None, *, within: datetime.timedelta
    ) -> list[Outline]:
        """Return outlines of the newest runs with any of some tags, or of None of all."""
        return await self._read(lambda tx: realtime.outline_recent(tx, environment, tags, within=within))

    async def fillings(self, environment: int, batches: Collection[uuid.UUID]) -> list[Filling]:
        """Return how far batches are filled."""
        return await self._read(lambda tx: realtime.fillings(tx, environment, batches))

    async def _outline(self, environment: int, runs: Collection[uuid.UUID]) -> list[Outline]:
        return await self._read(lambda tx: realtime.outline(tx, environment, runs))


def groups(outlines: Sequence[Outline]) -> list[list[uuid.UUID]]:
    """Return runs in groups that can be in memory together."""
    found: list[list[uuid.UUID]] = []
    room = 0
    for outline in outlines:
        size = outline.document_bytes + outline.metadata_bytes
        if not found or room < size or len(found[-1]) == _GROUP_RUNS:
            found.append([])
            room = _GROUP_BYTES
        found[-1].append(outline.id)
        room -= size
    return found
