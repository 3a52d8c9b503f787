"""Kinds: which workers can be given the same runs, as far as their announcements were seen here.

A worker that announced itself to another server counts as a kind of its own: a wake-up then may look once more than it
needs to, and misses nothing.
"""

import uuid
from collections.abc import Hashable
from typing import Final

from oncue.protocol import ids
from oncue.protocol.work import Announcement

_MOST: Final = 10_000


class Kinds:
    """What the workers of this server can run."""

    def __init__(self) -> None:
        """Begin with no worker known."""
        self._known: dict[uuid.UUID, Hashable] = {}

    def learn(self, announcement: Announcement) -> None:
        """Note what a worker can be given."""
        if len(self._known) >= _MOST:
            self._known.clear()
        tasks = frozenset(task.id for task in announcement.tasks)
        queues = None if announcement.queues is None else frozenset(announcement.queues)
        self._known[ids.parse(ids.WORKER, announcement.worker_id)] = (
            tasks,
            queues,
            announcement.region,
            announcement.version,
            announcement.fingerprint,
        )

    def forget(self, worker: uuid.UUID) -> None:
        """Drop a worker that left."""
        self._known.pop(worker, None)

    def of(self, worker: uuid.UUID) -> Hashable:
        """Return a value that is equal for workers that stand for each other."""
        return self._known.get(worker, worker)
