"""Threads: where plain functions run.

As many as there are functions at work: a function that waits for a child blocks its thread, so there may be more
threads than places. Each takes 8 MB of addresses for its stack, of which it touches about 50 KB; for thousands of
parents that wait at once, ``async def`` is the better choice. Idle threads are used again, and given up beyond the
number that is kept.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable


class Threads:
    """Threads that grow with the work; ``submit`` and the callbacks belong to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kept: int) -> None:
        """Start with none.

        Args:
            loop: Where the callbacks are called.
            kept: Idle threads to keep.
        """
        self._loop = loop
        self._kept = kept
        self._work: queue.SimpleQueue[tuple[Callable[[], object], Callable[[], None]] | None] = queue.SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._is_called = False
        self._started = 0
        self.count = 0
        """Threads that there are."""
        self._busy = 0

    def submit(self, function: Callable[[], object], done: Callable[[], None]) -> None:
        """Call a function on a thread at once, and then a callback on the loop.

        Args:
            function: Must not raise.
            done: Called after it, together with others that have ended meanwhile.
        """
        self._busy += 1
        if self._busy > self.count:
            self._start()
        self._work.put((function, done))

    def close(self) -> None:
        """Let idle threads end. Those at work end with the process, for they are daemons."""
        for _ in range(self.count):
            self._work.put(None)
        self.count = 0

    def _start(self) -> None:
        self._started += 1
        self.count += 1
        threading.Thread(target=self._serve, name=f"oncue-task-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            function, done = item
            function()
            self._done.append(done)
            # Nothing of the run may be held while this thread waits for the next one.
            del item, function, done
            # One wake-up of the loop for all that end before it comes round.
            if not self._is_called:
                self._is_called = True
                try:
                    self._loop.call_soon_threadsafe(self._call_back)
                except RuntimeError:  # the loop is closed: the worker has gone, and nobody wants to know
                    return

    def _call_back(self) -> None:
        # Before the deque is read: what is appended from now on makes a call of its own.
        self._is_called = False
        while self._done:
            self._busy -= 1
            self._done.popleft()()
        while self.count - self._busy > self._kept:
            self.count -= 1
            self._work.put(None)
