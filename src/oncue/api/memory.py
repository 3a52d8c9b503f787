"""Memory: what was looked up in the database lately, for requests that all need the same.

Those that look for one thing at once share a look-up. One that was under way when something changed is not remembered:
it may have read what was there before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")

_NOTHING: Final = object()


class _Known(NamedTuple, Generic[Value]):
    value: Value
    until: float


class Memory(Generic[Name, Value]):
    """Remembers what was found under names, each for some seconds."""

    def __init__(
        self,
        find: Callable[[Name], Awaitable[Value]],
        *,
        lasts: Callable[[Value], float],
        clock: Callable[[], float],
        most: int = 1,
    ) -> None:
        """Start with nothing remembered.

        Args:
            find: Asks the database.
            lasts: For how many seconds an answer counts.
            clock: Seconds; what an answer's age is measured by.
            most: How many answers are kept; beyond that all are dropped.
        """
        self._find, self._lasts, self._clock, self._most = find, lasts, clock, most
        self._known: dict[Name, _Known[Value]] = {}
        self._under_way: dict[Name, asyncio.Task[Value]] = {}

    async def get(self, name: Name, *, instead_of: object = _NOTHING) -> Value:
        """Return what is remembered, or found now; raises what ``find`` raises.

        Args:
            name: What is looked for.
            instead_of: An answer that will not do, though it be remembered.
        """
        known = self._known.get(name)
        if known is not None and known.value is not instead_of and known.until > self._clock():
            return known.value
        looking = self._under_way.get(name)
        if looking is None:
            looking = self._under_way[name] = asyncio.create_task(self._look_up(name))
            looking.add_done_callback(lambda done: self._end(name, done))
        # Whoever began it may give up; the others wait for it still.
        return await asyncio.shield(looking)

    def forget(self) -> None:
        """Ask again from now on: something has changed."""
        self._known.clear()
        self._under_way.clear()

    async def _look_up(self, name: Name) -> Value:
        value = await self._find(name)
        if self._under_way.get(name) is asyncio.current_task():
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[name] = _Known(value, self._clock() + self._lasts(value))
        return value

    def _end(self, name: Name, done: asyncio.Task[Value]) -> None:
        if self._under_way.get(name) is done:
            del self._under_way[name]
        if not done.cancelled():
            # Those who waited have it; where all gave up, nobody needs to hear of it.
            done.exception()
