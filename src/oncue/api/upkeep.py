"""Upkeep: the loop that does what has to happen although nobody calls.

What the chores are is decided in ``engine/upkeep``; here only when they run. Held runs have a clock of their own: the
loop sleeps until the next one is due, or until it hears of one that is due sooner. A chore that fails is logged and
tried again, each time a little later, and stops no other.

Life of a run, this module's part::

    PostgreSQL's clock -> Upkeep -> engine/upkeep -> Wakeups.apply
"""

import asyncio
import datetime
import random
from collections.abc import Callable, Sequence
from typing import Final

from oncue import telemetry
from oncue.api import moments
from oncue.engine import upkeep
from oncue.engine.events import Effects
from oncue.engine.upkeep import Chore
from oncue.store.pool import Pool

_LONGEST_SLEEP_SECONDS: Final = 30.0
"""However far off the next held run is: a hint about a nearer one may have been lost."""
_SHORTEST_SLEEP_SECONDS: Final = 0.02
"""So that a stream of delayed triggers does not make a stream of look-ups."""
_NUDGE_SECONDS: Final = 0.3
"""Longer than a transaction that has begun takes to commit."""
_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 30.0


class Upkeep:
    """Runs the chores until it is stopped."""

    def __init__(
        self,
        pool: Pool,
        *,
        apply: Callable[[Effects], None],
        patience: datetime.timedelta,
        chores: Sequence[Chore],
    ) -> None:
        """Describe the work; nothing happens before ``start``.

        Args:
            pool: Where the chores get their connections.
            apply: Tells others what a chore changed.
            patience: How long workers get, after a start or an outage, to say that they are alive.
            chores: All but the release of held runs.
        """
        self._pool, self._apply, self._chores, self._patience = pool, apply, chores, patience
        self._sooner = asyncio.Event()
        self._nudges = {chore.name: asyncio.Event() for chore in chores}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, each chore in a task of its own."""
        self._tasks = [asyncio.create_task(self._release(), name="oncue-upkeep-release_due")]
        self._tasks += [
            asyncio.create_task(self._repeat(chore), name=f"oncue-upkeep-{chore.name}") for chore in self._chores
        ]

    async def stop(self) -> None:
        """End; a chore in progress is rolled back."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def wake(self) -> None:
        """Look for held runs now: one may be due sooner than was known."""
        self._sooner.set()

    def nudge(self, chore: str) -> None:
        """Do a chore in a moment, not only at its next turn: what is being committed now is to be seen by it."""
        asyncio.get_running_loop().call_later(_NUDGE_SECONDS, self._nudges[chore].set)

    async def _release(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            self._sooner.clear()
            try:
                effects, wait = await upkeep.release_due(self._pool)
            except Exception as error:  # the loop must outlive every fault  # noqa: BLE001
                backoff = await self._back_off("release_due", error, backoff)
                continue
            backoff = _FIRST_BACKOFF_SECONDS
            self._apply(effects)
            await asyncio.sleep(_SHORTEST_SLEEP_SECONDS)
            left = _LONGEST_SLEEP_SECONDS if wait is None else wait.total_seconds() - _SHORTEST_SLEEP_SECONDS
            await moments.passed(self._sooner, min(max(left, 0.0), _LONGEST_SLEEP_SECONDS))

    async def _repeat(self, chore: Chore) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        patient = False
        while True:
            try:
                if chore.needs_heartbeats and not patient:
                    # While PostgreSQL or this server was away no heartbeat could arrive.
                    await upkeep.probe(self._pool)
                    await asyncio.sleep(self._patience.total_seconds())
                    patient = True
                self._apply(await chore.run(self._pool))
            except Exception as error:  # the loop must outlive every fault  # noqa: BLE001
                patient = False
                backoff = await self._back_off(chore.name, error, backoff)
            else:
                backoff = _FIRST_BACKOFF_SECONDS
                nudged = self._nudges[chore.name]
                await moments.passed(nudged, _spread(chore.every))
                nudged.clear()

    async def _back_off(self, chore: str, error: Exception, pause: float) -> float:
        """Log and wait; returns how long to wait next time."""
        telemetry.event("upkeep.failed", chore=chore, error=type(error).__name__, message=str(error))
        await asyncio.sleep(pause)
        return min(2 * pause, _LONGEST_BACKOFF_SECONDS)


def _spread(every: datetime.timedelta) -> float:
    """At random around the interval, so that many servers do not work in step."""
    return every.total_seconds() * random.uniform(0.9, 1.1)  # noqa: S311
