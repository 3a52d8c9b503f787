"""Rounds: what is done at once when there is something to do, and then for all that was gathered meanwhile.

A burst of changes costs few statements that way, and a change that comes alone does not wait. A round that failed is
logged and followed by another after a pause: whoever depends on it must outlive every fault, foreseen or not.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oncue import telemetry

_GAP_SECONDS: Final = 0.01
_PAUSE_SECONDS: Final = 1.0
"""After a round that failed, most often because the database is away."""


class Rounds:
    """Work that comes in bursts, and the task that does it."""

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        is_due: Callable[[], bool],
        event: str,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin idle.

        Args:
            name: Of the task.
            work: Does what has been gathered, or part of it.
            is_due: Whether there is something to do.
            event: What is logged when a round fails.
            on_failed: Called then, before the pause; it may gather again what was lost.
        """
        self._name, self._work, self._is_due = name, work, is_due
        self._event, self._on_failed = event, on_failed
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin, unless it is under way, there is nothing to do, or it was closed."""
        if self._task is None and not self._closed and self._is_due():
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Do what is left, as far as it succeeds at once."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def cancel(self) -> None:
        """Stop where it stands."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._is_due():
                try:
                    await self._work()
                except Exception as error:  # whoever waits for it must outlive every fault  # noqa: BLE001
                    telemetry.event(self._event, error=type(error).__name__, trace=telemetry.places(error))
                    self._on_failed()
                    if self._closed:
                        return
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    await asyncio.sleep(0 if self._closed else _GAP_SECONDS)
        finally:
            self._task = None
