"""Turns: who asks for much at once is served after those who came before.

What a snapshot reads and encodes would keep triggers and outcomes waiting, were there as many at a time as somebody has
connections. So there are few at a time, and of each public access token one.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from oncue.api.seats import Owner, count_down
from oncue.protocol.errors import RateLimited


class Turns:
    """Turns, and who waits for one."""

    def __init__(self, at_once: int, *, longest_line: int | None = None) -> None:
        """Begin with all of them free.

        Args:
            at_once: How many there are.
            longest_line: How many may wait with one token; None: any number.
        """
        self._places, self._longest_line = asyncio.Semaphore(at_once), longest_line
        self._own: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()
        """Of tokens, for as long as somebody holds or awaits them."""
        self._lines: Counter[Owner] = Counter()
        """How many hold or await those."""

    @asynccontextmanager
    async def turn(self, owner: Owner) -> AsyncIterator[None]:
        """Do the block once it is the owner's turn.

        Raises:
            RateLimited: Too many wait with the same token.
        """
        if owner.token is None:
            async with self._places:
                yield
            return
        own = self._own.get(owner)
        if own is None:
            own = self._own[owner] = asyncio.Lock()
        if self._longest_line is not None and self._lines[owner] >= self._longest_line:
            raise RateLimited(f"{self._longest_line} subscriptions are being begun with this token; try again later")
        self._lines[owner] += 1
        try:
            async with own, self._places:
                yield
        finally:
            count_down(self._lines, owner)
