"""Rooms: the feeds of one environment, and the task that reads for all of them the runs that changed.

What changed while a statement was under way is gathered for the next, so that a burst of changes costs few, and each of
them reads a row once for however many feeds. A row that looks as it did is told to nobody.

Life of a run, this module's part::

    Feeds.touch -> Room.touch -> one statement -> Feed.offer -> Feed.wait returns
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

from oncue import telemetry
from oncue.api import electric
from oncue.api.electric import Row, Shown, Skip
from oncue.api.shapes import BatchRuns, Index, OneRun, Shape
from oncue.engine.realtime import ShapeRow

_GAP_SECONDS: Final = 0.01
_PAUSE_SECONDS: Final = 1.0
"""After a statement that failed."""
_AT_ONCE: Final = 500
"""Runs that one statement reads: their documents are in memory together."""
_MOST_REMEMBERED: Final = 10_000
"""Rows of a feed whose fingerprints are kept; beyond that those of ended runs go."""


class Seen(NamedTuple):
    """Rows for a client, and the state that it has seen with them."""

    shown: Sequence[Shown]
    state: int


class Feed:
    """What the clients of one subscription have seen.

    Attributes:
        state: The number that stands for all rows as they were offered last.
        last: The row, where the shape is one run.
        loading: The read that fills it, while there is one.
        late: Runs that were read while it was being filled, and that have to be read again.
        used_at: When a client was there last, by the event loop's clock.
        filled_at: When it was filled, by the same clock.
        linked: Runs that it is about although its shape does not name them.
    """

    __slots__ = (
        "_base", "_pending", "_prints", "_unfinished", "_waiting", "filled_at", "last", "late", "linked", "loading",
        "shape", "skip", "state", "used_at",
    )  # fmt: skip

    def __init__(self, shape: Shape, skip: Skip) -> None:
        self.shape, self.skip = shape, skip
        self.state = self._base = 0
        self.last: Shown | None = None
        self.loading: asyncio.Task[Seen] | None = None
        self.used_at = self.filled_at = 0.0
        self.late: set[uuid.UUID] = set()
        self.linked: set[uuid.UUID] = set()
        self._prints: dict[uuid.UUID, int] = {}
        self._unfinished: set[uuid.UUID] = set()
        self._pending: dict[uuid.UUID, Shown] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def is_loading(self) -> bool:
        """Whether it is being filled."""
        return self.loading is not None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything of it."""
        return not self._waiting and self.loading is None

    @property
    def unfinished(self) -> Collection[uuid.UUID]:
        """The runs that it knows and that have not ended."""
        return self._unfinished

    def use(self) -> None:
        """Note that a client is there."""
        self.used_at = asyncio.get_running_loop().time()

    def fill(self, shown: dict[uuid.UUID, Shown]) -> None:
        """Begin anew with all rows there are."""
        self._prints = {run: each.fingerprint for run, each in shown.items()}
        self._unfinished = {run for run, each in shown.items() if not each.has_ended}
        self.state = self._base = electric.total(self._prints.values())
        self._pending.clear()
        self.filled_at = asyncio.get_running_loop().time()
        if isinstance(self.shape, OneRun):
            self.last = next(iter(shown.values()), None)
        self.wake()

    def offer(self, run: uuid.UUID, row: Row) -> None:
        """Take in a row that may have changed."""
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
            self.last = shown
        else:
            self._pending[run] = shown
            self._forget_some()
        self.wake()

    def can_tell(self, state: int | None) -> bool:
        """Whether what changed since a state is here."""
        return self.last is not None or state in {self.state, self._base}

    def take(self) -> list[Shown]:
        """Return what changed, and count it as seen."""
        if self.last is not None:
            return [self.last]
        found = list(self._pending.values())
        self._pending.clear()
        self._base = self.state
        return found

    def wake(self) -> None:
        """Let those who wait look."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, seconds: float, gone: asyncio.Future[None]) -> None:
        """Return when something changed, the client is gone, or the time is up."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
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

    def _forget_some(self) -> None:
        if len(self._prints) > _MOST_REMEMBERED:
            # Forgotten rows no longer count, for whom it was told already and for what is to come.
            kept = {run: seen for run, seen in self._prints.items() if run in self._unfinished or run in self._pending}
            lost = electric.total(self._prints.values()) - electric.total(kept.values())
            self._prints = kept
            self.state = electric.total((self.state, -lost))


class Room:
    """The feeds of one environment."""

    def __init__(
        self,
        environment: int,
        *,
        read_shape: Callable[[int, Shape, bool], Awaitable[list[ShapeRow]]],
        read_runs: Callable[[int, Collection[uuid.UUID], bool], Awaitable[list[ShapeRow]]],
    ) -> None:
        """Begin empty; what is read is as ``Feeds`` says."""
        self.environment = environment
        self._read_shape, self._read_runs = read_shape, read_runs
        self._index: Index[Feed] = Index()
        self._feeds: dict[Feed, None] = {}
        self._changed: set[uuid.UUID] = set()
        self._stale: dict[Feed, None] = {}
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_empty(self) -> bool:
        """Whether it has no feeds."""
        return not self._feeds

    def add(self, feed: Feed) -> None:
        """Take a feed in."""
        self._feeds[feed] = None
        self._index.add(feed.shape, feed)

    def remove(self, feed: Feed) -> None:
        """Let a feed go."""
        self._feeds.pop(feed, None)
        self._stale.pop(feed, None)
        self._index.remove(feed.shape, feed, feed.linked)

    def link(self, feed: Feed, runs: Iterable[uuid.UUID]) -> None:
        """Let the feed of a batch hear of the runs that its items stand for, besides those they made."""
        assert isinstance(feed.shape, BatchRuns)
        for run in runs:
            if feed not in self._index.of_batch(run):
                feed.linked.add(run)
                self._index.link(run, feed)

    def touch(self, runs: Collection[uuid.UUID]) -> None:
        """Have runs read that changed, as far as anybody may want to know."""
        self._changed.update(self._index.wanted(runs))
        self._read_soon()

    def refresh(self) -> None:
        """Have everything read anew."""
        self._changed.update(self._index.named)
        self._stale.update(dict.fromkeys(feed for feed in self._feeds if not isinstance(feed.shape, OneRun)))
        self._read_soon()

    def check(self) -> None:
        """Have the runs read that have not ended, as far as they are known."""
        for feed in self._feeds:
            self._changed.update(feed.unfinished)
        self._read_soon()

    def close(self) -> None:
        """Read no more."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()

    def _read_soon(self) -> None:
        if self._reader is None and (self._changed or self._stale) and not self._closed:
            self._reader = asyncio.create_task(self._read(), name="oncue-realtime")

    async def _read(self) -> None:
        """Read at once, then gather for a while before reading again."""
        try:
            while self._changed or self._stale:
                pause = _GAP_SECONDS
                try:
                    if self._changed:
                        await self._read_changed()
                    else:
                        await self._read_stale()
                except Exception as error:  # subscribers must outlive every fault  # noqa: BLE001
                    telemetry.event("realtime.failed", error=type(error).__name__, message=str(error))
                    pause = _PAUSE_SECONDS
                await asyncio.sleep(pause)
        finally:
            self._reader = None

    async def _read_changed(self) -> None:
        runs = [self._changed.pop() for _ in range(min(len(self._changed), _AT_ONCE))]
        documents = any(electric.wants_documents(feed.skip) for feed in self._feeds)
        began = asyncio.get_running_loop().time()
        try:
            rows = await self._read_runs(self.environment, runs, documents)
        except BaseException:
            self._changed.update(runs)
            raise
        for row in map(Row, rows):
            for feed in list(self._index.matching(row.run)):
                self._offer(feed, row, began)
        for missing in set(runs) - {row.id for row in rows}:
            # An item of a batch that stands for the run of another.
            self._stale.update(dict.fromkeys(self._index.of_batch(missing)))

    async def _read_stale(self) -> None:
        feed = next(iter(self._stale))
        del self._stale[feed]
        began = asyncio.get_running_loop().time()
        try:
            rows = await self._read_shape(self.environment, feed.shape, electric.wants_documents(feed.skip))
        except BaseException:
            self._stale[feed] = None
            raise
        if feed not in self._feeds:
            self._stale.pop(feed, None)
            return
        if isinstance(feed.shape, BatchRuns):
            self.link(feed, [row.id for row in rows])
        for row in map(Row, rows):
            self._offer(feed, row, began)

    def _offer(self, feed: Feed, row: Row, began: float) -> None:
        if feed.is_loading:
            feed.late.add(row.run.id)
        elif feed.filled_at >= began:
            # What filled it was read meanwhile and may be newer: look once more.
            self._changed.add(row.run.id)
        else:
            feed.offer(row.run.id, row)
