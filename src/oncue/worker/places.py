"""Places: how many runs a worker executes at once, and who is next when all are taken.

Runs that resume go before runs that start, each in order of arrival. A run that waits for another holds no place; when
it gives one back and takes one is decided in ``parking.py``. The server counts slots of queues on its own; places are
only about what this process can carry.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Claimant: TypeAlias = Callable[[], bool]
"""Called when there is a place for it; False: it does not want one any more."""


class Places:
    """The places of one worker process; to be used on its event loop only."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.free = count
        self._resuming: deque[Claimant] = deque()
        self._starting: deque[Claimant] = deque()
        self._handing_out = False
        self._freed = asyncio.Event()

    @property
    def taken(self) -> int:
        """Places that runs hold now."""
        return self.count - self.free

    def take(self) -> bool:
        """Take a place if there is one and nobody is in line for it."""
        if not self.free or self._resuming or self._starting:
            return False
        self.free -= 1
        return True

    def give_back(self) -> None:
        """Free a place; whoever is first in line gets it before this returns."""
        self.free += 1
        self._hand_out()

    def resume_when_free(self, claimant: Claimant) -> None:
        """Stand in line with a run that goes on."""
        self._resuming.append(claimant)
        self._hand_out()

    def start_when_free(self, claimant: Claimant) -> None:
        """Stand in line with a run that starts."""
        self._starting.append(claimant)
        self._hand_out()

    async def until_free(self, timeout_s: float) -> None:
        """Wait until a place is free, or until the time is over."""
        self._freed.clear()
        if self.free:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._freed.wait()
        except TimeoutError:
            return

    def _hand_out(self) -> None:
        # A claimant may end at once and give its place back from inside this loop, which then goes on with it.
        if self._handing_out:
            return
        self._handing_out = True
        try:
            while self.free and (line := self._resuming or self._starting):
                claimant = line.popleft()
                self.free -= 1
                if not claimant():
                    self.free += 1
        finally:
            self._handing_out = False
        if self.free:
            self._freed.set()
