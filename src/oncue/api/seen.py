"""Seen: what the clients of one subscription have seen, and what they have yet to see.

Of each row its fingerprint is kept; the row itself only until it is told, and for a client that is away no more than
its id, once there are many.

Life of a run, this module's part::

    Room -> Feed.offer -> Feed.wait returns -> Feed.take -> the answer
"""

import asyncio
import contextlib
import datetime
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from oncue.api import electric
from oncue.api.electric import Row, Shown, Skip
from oncue.api.last_rows import LastRows
from oncue.api.shapes import OneRun, Shape, TaggedRuns
from oncue.engine.realtime import Outline, ShapeRow
from oncue.protocol import limits

_MOST_REMEMBERED: Final = 10_000
"""Rows of a feed whose fingerprints are kept; beyond that those of ended runs go."""
_PENDING_BYTES: Final = 64 * 1024
"""Rows that are kept whole for a client that is away; of others the id is kept, and they are read when it comes."""


class Seen(NamedTuple):
    """Rows for a client, and the state that it has seen with them."""

    shown: Sequence[Shown]
    state: int


class Feed:
    """What the clients of one subscription have seen.

    Attributes:
        state: The number that stands for all rows as they were offered last.
        loading: The read that fills it, while there is one.
        late: Runs that were read while it was being filled, and that have to be read again.
        used_at: When a client was there last, by the event loop's clock.
        filled_at: When it was filled, by the same clock.
        linked: Runs that it is about although its shape does not name them.
    """

    __slots__ = (
        "_base", "_floor", "_forget_at", "_last", "_pending", "_pending_bytes", "_prints", "_readers", "_unfinished",
        "_unread", "_waiting", "filled_at", "late", "linked", "loading", "shape", "skip", "state", "used_at",
    )  # fmt: skip

    def __init__(self, shape: Shape, skip: Skip, last: "LastRows[Feed]") -> None:
        self.shape, self.skip = shape, skip
        self._last = last
        self.state = self._base = 0
        self.loading: asyncio.Task[Seen] | None = None
        self.used_at = self.filled_at = 0.0
        self.late: set[uuid.UUID] = set()
        self.linked: set[uuid.UUID] = set()
        self._prints: dict[uuid.UUID, int] = {}
        self._unfinished: set[uuid.UUID] = set()
        self._floor: tuple[uuid.UUID, datetime.datetime] | None = None
        self._forget_at = _MOST_REMEMBERED
        self._pending: dict[uuid.UUID, Shown] = {}
        self._pending_bytes = 0
        self._unread: set[uuid.UUID] = set()
        self._readers = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def last(self) -> Shown | None:
        """The row, where the shape is one run and it is kept."""
        return self._last.get(self)

    @property
    def is_loading(self) -> bool:
        """Whether it is being filled."""
        return self.loading is not None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything of it."""
        return not self._waiting and not self._readers and self.loading is None

    @property
    def wants_documents(self) -> bool:
        """Whether it shows payloads or outputs."""
        return electric.wants_documents(self.skip)

    @property
    def unfinished(self) -> Collection[uuid.UUID]:
        """The runs that it knows and that have not ended."""
        return self._unfinished

    def knows(self, run: uuid.UUID) -> bool:
        """Whether it has shown a run."""
        return run in self._prints

    def expects(self, run: ShapeRow | Outline) -> bool:
        """Whether it is to show a run of its shape: not one that was there before and did not fit into the snapshot."""
        if self._floor is None or run.id in self._prints:
            return True
        oldest, newest = self._floor
        # An item of a batch that is open for long may be new though its id is old.
        return run.id >= oldest or run.created_at > newest

    def use(self) -> None:
        """Note that a client is there."""
        self.used_at = asyncio.get_running_loop().time()

    def fill(self, rows: Sequence[ShapeRow], shown: Mapping[uuid.UUID, Shown]) -> Seen:
        """Begin anew with all rows there are, and with how they are shown."""
        self._prints = {run: each.fingerprint for run, each in shown.items()}
        self._unfinished = {run for run, each in shown.items() if not each.has_ended}
        self.state = self._base = electric.total(self._prints.values())
        self._clear()
        self.filled_at = asyncio.get_running_loop().time()
        if isinstance(self.shape, OneRun):
            for row in shown.values():
                self._last.put(self, row)
        is_full = isinstance(self.shape, TaggedRuns) and len(rows) >= limits.MAX_REALTIME_ROWS
        self._floor = (min(shown), max(row.created_at for row in rows)) if is_full else None
        self.wake()
        return Seen(list(shown.values()), self.state)

    def offer(self, run: uuid.UUID, row: Row) -> None:
        """Take in a row that may have changed."""
        if not self.expects(row.run):
            return
        shown = row.shown(self.skip)
        before = self._prints.get(run, 0)
        if before == shown.fingerprint:
            return
        self._prints[run] = shown.fingerprint
        self.state = electric.total((self.state, shown.fingerprint, -before))
        if shown.has_ended:
            self._unfinished.discard(run)
        else:
            self._unfinished.add(run)
        if isinstance(self.shape, OneRun):
            self._last.put(self, shown)
        else:
            self._keep(run, shown)
            if len(self._prints) > self._forget_at:
                self._forget_some()
        self.wake()

    def can_tell(self, state: int | None) -> bool:
        """Whether what changed since a state is here, or known by its id.

        Of one run that is the row, which may be seen twice.
        """
        return (isinstance(self.shape, OneRun) and bool(self._prints)) or state in {self.state, self._base}

    @contextlib.contextmanager
    def reading(self) -> Iterator[Collection[uuid.UUID]]:
        """Let somebody read the runs that changed and of which no row was kept; what comes meanwhile is kept."""
        self._readers += 1
        try:
            is_gone = isinstance(self.shape, OneRun) and self.last is None
            yield frozenset(self._prints if is_gone else self._unread)
        finally:
            self._readers -= 1

    def supply(self, shown: Mapping[uuid.UUID, Shown], asked: Collection[uuid.UUID]) -> None:
        """Take in rows that were asked for; those that are gone are not missed."""
        if isinstance(self.shape, OneRun):
            # One that was offered meanwhile is newer.
            for row in shown.values() if self.last is None else ():
                self._last.put(self, row)
            return
        for run in self._unread.intersection(asked):
            self._unread.discard(run)
            if run in shown:
                self._pending[run] = shown[run]
                self._pending_bytes += len(shown[run])

    def take(self) -> list[Shown]:
        """Return what changed, and count it as seen."""
        if isinstance(self.shape, OneRun):
            last = self.last
            return [] if last is None else [last]
        found = list(self._pending.values())
        self._clear()
        self._base = self.state
        return found

    def wake(self) -> None:
        """Let those who wait look."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, changed: asyncio.Future[None], seconds: float, gone: asyncio.Future[None]) -> None:
        """Return when something changed, which sets a result, the client is gone, or the time is up."""
        self._waiting.add(changed)

        def leave(_: object) -> None:
            if not changed.done():
                changed.set_result(None)

        gone.add_done_callback(leave)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await changed
        finally:
            gone.remove_done_callback(leave)
            self._waiting.discard(changed)

    def _keep(self, run: uuid.UUID, shown: Shown) -> None:
        """Keep a row for the client: whole while it is there to take it, and else as far as there is room."""
        before = self._pending.pop(run, None)
        self._pending_bytes -= 0 if before is None else len(before)
        if self._waiting or self._readers or self._pending_bytes + len(shown) <= _PENDING_BYTES:
            self._pending[run] = shown
            self._pending_bytes += len(shown)
            self._unread.discard(run)
        else:
            self._unread.add(run)

    def _clear(self) -> None:
        self._pending.clear()
        self._pending_bytes = 0
        self._unread.clear()

    def _forget_some(self) -> None:
        """Forget rows that no longer count, for whom they were told already and for what is to come."""
        kept = {
            run: seen
            for run, seen in self._prints.items()
            if run in self._unfinished or run in self._pending or run in self._unread
        }
        lost = electric.total(self._prints.values()) - electric.total(kept.values())
        self._prints = kept
        self.state = electric.total((self.state, -lost))
        # Not before there are twice as many: where few can be forgotten, each row would have us look at all of them.
        self._forget_at = max(_MOST_REMEMBERED, 2 * len(kept))
