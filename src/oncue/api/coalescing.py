"""Coalescing: calls that arrive while a transaction is under way share the next one.

There is no timer: an item is taken up as soon as one of its key's few flushes is free, so a lone call pays nothing and
a crowd shares. Callers are answered when their flush has returned, which is after COMMIT. A caller that goes away takes
nothing from the others.

Life of a run, this module's part::

    api/routes/tasks -> submit -> flush: one transaction -> answers
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from oncue.protocol.errors import ApiError, Unavailable

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")

_CLOSED: Final = "the server is stopping; send the request again"


_Group: TypeAlias = Sequence[tuple[Item, asyncio.Future[Result]]]


class _Lane(Generic[Item, Result]):
    """What waits under one key, and how many flushes are under way."""

    __slots__ = ("flushes", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self.flushes = 0


class Coalescer(Generic[Key, Item, Result]):
    """Gathers items under a key and hands them over in groups."""

    def __init__(
        self,
        flush: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Result | ApiError]]],
        *,
        largest: int = 500,
        at_once: int = 2,
    ) -> None:
        """Start with nothing waiting.

        Args:
            flush: Does a group in one transaction. Returns for each item, in order, its result or why it alone was
                refused; raises if the transaction failed.
            largest: Items in a group, at least 1.
            at_once: Groups of a key under way at once, at least 1.
        """
        self._flush, self._largest, self._at_once = flush, largest, at_once
        self._lanes: dict[Key, _Lane[Item, Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def submit(self, key: Key, item: Item) -> Result:
        """Hand over an item and wait for its result.

        Raises:
            ApiError: The item was refused, or its transaction failed.
        """
        if self._closed:
            raise Unavailable(_CLOSED)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        lane.waiting.append((item, answer))
        if lane.flushes < self._at_once:
            # The task starts in the loop's next round, with whatever else has arrived in this one.
            lane.flushes += 1
            task = asyncio.create_task(self._work(key, lane), name="oncue-flush")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def close(self) -> None:
        """Take nothing more, and wait until everything that was taken is answered."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self, key: Key, lane: _Lane[Item, Result]) -> None:
        try:
            while lane.waiting:
                count = min(self._largest, len(lane.waiting))
                await self._answer(key, [lane.waiting.popleft() for _ in range(count)])
        finally:
            lane.flushes -= 1
            if not lane.flushes and not lane.waiting:
                self._lanes.pop(key, None)

    async def _answer(self, key: Key, group: _Group[Item, Result]) -> None:
        try:
            results = await self._flush(key, [item for item, _ in group])
        except Unavailable as error:
            _fail(group, error)
        except Exception as error:  # whatever it was, somebody waits for an answer  # noqa: BLE001
            if len(group) == 1:
                _fail(group, error)
                return
            # Nothing of it was committed: halve it until the item at fault stands alone.
            middle = len(group) // 2
            await self._answer(key, group[:middle])
            await self._answer(key, group[middle:])
        else:
            for pair, result in zip(group, results, strict=True):
                _, answer = pair
                if isinstance(result, ApiError):
                    _fail([pair], result)
                elif not answer.done():
                    answer.set_result(result)


def _fail(group: _Group[Item, Result], error: Exception) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(error)
