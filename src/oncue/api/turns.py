"""Turns: who asks for much at once is served after those who came before.

What a snapshot reads and encodes would keep triggers and outcomes waiting, were there as many at a time as somebody has
connections. So there are few at a time, and of each public access token one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from oncue.api.seats import Owner


class Turns:
    """Turns, and who waits for one."""

    def __init__(self, at_once: int) -> None:
        """Begin with all of them free."""
        self._places = asyncio.Semaphore(at_once)
        self._own: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()
        """Of tokens, for as long as somebody holds or awaits them."""

    @asynccontextmanager
    async def turn(self, owner: Owner) -> AsyncIterator[None]:
        """Do the block once it is the owner's turn."""
        if owner.token is None:
            async with self._places:
                yield
            return
        own = self._own.get(owner)
        if own is None:
            own = self._own[owner] = asyncio.Lock()
        async with own, self._places:
            yield
