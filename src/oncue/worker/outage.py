"""Outage: how long to wait before asking a silent server again, and when to say so.

A failing request is logged when it begins to fail and now and then while it does, not each time; the first one that
succeeds ends the outage.
"""

import random
import time
from typing import Final

from oncue import telemetry

FIRST_S: Final = 0.1
"""A server that restarts is often back at once."""

_TELL_S: Final = 300.0
"""An outage that lasts is told of again."""

LONGEST_S: Final = 5.0
"""So that a worker is back at work soon after its server is."""


class Outage:
    """One kind of request and how it has gone of late."""

    def __init__(self, event: str) -> None:
        """Watch a kind of request.

        Args:
            event: What to log when it begins to fail.
        """
        self._event = event
        self._failures = 0
        self._told_at_s = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the last request failed."""
        return self._failures > 0

    def failed(self, error: Exception, **facts: object) -> float:
        """Note a failure; return the seconds to wait before the next attempt."""
        now_s = time.monotonic()
        if not self._failures or now_s - self._told_at_s >= _TELL_S:
            self._told_at_s = now_s
            telemetry.event(self._event, error=type(error).__name__, message=str(error), **facts)
        wait_s = min(LONGEST_S, FIRST_S * (1 << self._failures))
        # Beyond the longest wait the count says nothing new, and the shift must stay small.
        self._failures = min(self._failures + 1, 10)
        # Spread out, so that the workers of a restarted server do not come all at once.
        return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load

    def over(self) -> None:
        """Note a success."""
        self._failures = 0
