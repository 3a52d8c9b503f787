"""Time limit: the compute time that a run may still use.

It stands still while the run waits for others. What happens when it is used up is decided in ``executor.py``.
"""

import asyncio
from collections.abc import Callable


class TimeLimit:
    """The clock of one run; to be used on the worker's event loop only."""

    __slots__ = ("_handle", "_left_s", "_loop", "_used_up")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_ms: int, used_up: Callable[[], None]) -> None:
        """Set the clock.

        Args:
            loop: The worker's.
            limit_ms: Compute time, in milliseconds.
            used_up: Called once when it is over.
        """
        self._loop = loop
        self._left_s = limit_ms / 1000
        self._used_up = used_up
        self._handle: asyncio.TimerHandle | None = None

    def go(self) -> None:
        """Let it run."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._left_s, self._used_up)

    def pause(self) -> None:
        """Stop it, for now or for good."""
        if self._handle is not None:
            self._left_s = max(0.0, self._handle.when() - self._loop.time())
            self._handle.cancel()
            self._handle = None
