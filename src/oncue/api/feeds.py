"""Feeds: what subscribers of runs have seen and what they have yet to see, and the requests that wait for it.

A feed is kept in memory from a client's first request until a while after its last: it hears of changes also between
two requests, so that an idle subscriber costs no query, however often it asks. Subscribers of one run share a feed.
Should a client come whose feed is not here (another server had it, or it was away for long), what there is now is read
and compared with what its offset says that it has seen.

The rows that changed are read by the environment's room, ``api/rooms``, one statement for all feeds. Who has to leave
when there are too many is decided in ``api/seats``.

Life of a run, this module's part::

    api/routes/realtime -> Feeds.snapshot, Feeds.follow; api/relay -> Feeds.touch -> Room -> Feed.offer -> the answer
"""

import asyncio
import random
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from oncue.api.electric import Row, Shown, Skip
from oncue.api.last_rows import LastRows
from oncue.api.rooms import Room
from oncue.api.seats import Owner, Seats
from oncue.api.seen import Feed, Seen
from oncue.api.shapes import BatchRuns, OneRun, Shape
from oncue.api.sources import Source
from oncue.api.turns import Turns
from oncue.engine.realtime import ShapeRow
from oncue.protocol import ids
from oncue.protocol.errors import NotFound, RateLimited, Unavailable

_KEEP_SECONDS: Final = 30.0
"""How long a feed is kept that nobody asks for: clients come back at once, or after a pause of at most ten seconds."""
_SWEEP_SECONDS: Final = 5.0
_CHECK_SECONDS: Final = 60.0
"""How often it is looked whether anything changed of which no word came: a server may be killed between its COMMIT and
its NOTIFY."""
_AT_ONCE: Final = 2
"""Snapshots that are read at a time: fewer than there are connections, which triggers and outcomes need."""
_LONGEST_LINE: Final = 200
"""Snapshots that wait for one token; one takes milliseconds, and clients come again."""
_BREATH_ROWS: Final = 20
_BREATH_BYTES: Final = 128 * 1024
"""That are encoded before anybody else may go on: a millisecond's work."""


class Subscription(NamedTuple):
    """What a client subscribes to; equal ones share a feed."""

    environment: int
    shape: Shape
    skip: Skip
    handle: str


class Feeds:
    """The feeds of a server."""

    def __init__(
        self,
        source: Source,
        *,
        on_join: Callable[[int], None],
        on_leave: Callable[[int], None],
    ) -> None:
        """Begin with none.

        Args:
            source: Where runs are read.
            on_join: The first feed of an environment is about to be filled.
            on_leave: The last one of an environment is gone.
        """
        self._source = source
        self._on_join, self._on_leave = on_join, on_leave
        self._rooms: dict[int, Room] = {}
        self._feeds: dict[Subscription, Feed] = {}
        self._kept: Seats[Subscription] = Seats()
        self._held: Seats[asyncio.Future[None]] = Seats()
        self._turns = Turns(_AT_ONCE, longest_line=_LONGEST_LINE)
        self._last: LastRows[Feed] = LastRows()
        self._sweeping: asyncio.TimerHandle | None = None
        self._checked = 0.0
        self.closed = False

    def __len__(self) -> int:
        """Return how many requests are held open."""
        return len(self._held)

    @property
    def kept(self) -> int:
        """How many feeds are in memory."""
        return len(self._feeds)

    def touch(self, environment: int, runs: Collection[uuid.UUID]) -> None:
        """Have runs looked at that changed."""
        room = self._rooms.get(environment)
        if room is not None:
            room.touch(runs)

    def refresh(self, environment: int | None) -> None:
        """Look at everything anew: changes may have been missed, in an environment or, of None, in any."""
        for room in list(self._rooms.values()):
            if environment in {None, room.environment}:
                room.refresh()

    def has(self, wanted: Subscription) -> bool:
        """Whether its feed is in memory."""
        return wanted in self._feeds

    async def snapshot(self, wanted: Subscription, owner: Owner) -> Seen:
        """Return all there is now.

        Raises:
            NotFound: There is no such run.
            RateLimited: There are too many subscriptions.
        """
        feed = self._feeds.get(wanted)
        last = None if feed is None or feed.is_loading else feed.last
        if feed is not None and last is not None:
            feed.use()
            return Seen([last], feed.state)
        return await self._load(wanted, owner)

    async def follow(
        self, wanted: Subscription, owner: Owner, state: int | None, *, seconds: float, gone: asyncio.Future[None]
    ) -> Seen:
        """Return what changed since a state, as soon as there is something.

        Args:
            wanted: Of whom.
            owner: Who counts as its owner, should it have to be opened.
            state: What the client has seen; None: nothing that could be compared.
            seconds: The longest it may wait.
            gone: Done when the client is no longer there.

        Returns:
            Rows and the new state; none, and the same state, when the time is up.

        Raises:
            NotFound: There is no such run.
            RateLimited: There are too many subscriptions.
        """
        feed = self._feeds.get(wanted)
        if feed is None or feed.is_loading or not feed.can_tell(state):
            seen = await self._load(wanted, owner)
            feed = self._feeds.get(wanted)
            if seen.state != state or feed is None:
                return seen
        self._kept.use(wanted)
        if feed.state == state and not self.closed:
            await self._hold(feed, owner, seconds, gone)
        if feed.state != state:
            await self._supply(wanted, feed, owner)
        if feed.state == state:
            return Seen((), feed.state)
        if feed.can_tell(state):
            return Seen(feed.take(), feed.state)
        # Somebody else with the same handle was answered first.
        return await self._load(wanted, owner)

    def close(self) -> None:
        """Answer what is held, and hold no more."""
        self.closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for feed in self._feeds.values():
            feed.wake()
        for room in self._rooms.values():
            room.close()

    async def _hold(self, feed: Feed, owner: Owner, seconds: float, gone: asyncio.Future[None]) -> None:
        leaver = self._held.leaver(owner)
        if leaver is not None:
            # Answered as if its time were up.
            self._held.leave(leaver)
            if not leaver.done():
                leaver.set_result(None)
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.take(owner, changed)
        self._held.use(changed)
        try:
            # At random, so that those who came together do not all come back together.
            await feed.wait(changed, seconds * random.uniform(0.85, 1.15), gone)  # noqa: S311
        finally:
            self._held.leave(changed)
            feed.use()

    async def _supply(self, wanted: Subscription, feed: Feed, owner: Owner) -> None:
        """Read the rows that changed while the client was away, as far as they were too large to be kept."""
        with feed.reading() as runs:
            if runs:
                documents = feed.wants_documents
                async with self._turns.turn(owner):
                    rows = await self._source.answer(wanted.environment, runs, documents=documents)
                    feed.supply(await _shown(rows, wanted.skip), runs)

    async def _load(self, wanted: Subscription, owner: Owner) -> Seen:
        """Read a shape. The feed is there first, so that no change is missed meanwhile."""
        feed = self._feeds.get(wanted) or self._open(wanted, owner)
        feed.use()
        loading = feed.loading
        if loading is None:
            loading = feed.loading = asyncio.create_task(self._filled(wanted, feed, owner), name="oncue-realtime-fill")
            # Should all who wait for it have left, nobody hears of its failure.
            loading.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Whoever came first may leave: the others need the rows all the same.
        seen = await asyncio.shield(loading)
        if isinstance(wanted.shape, OneRun) and not seen.shown:
            self._drop(wanted)
            raise NotFound(f"no run {ids.show(ids.RUN, wanted.shape.run)} in this environment")
        return seen

    async def _filled(self, wanted: Subscription, feed: Feed, owner: Owner) -> Seen:
        try:
            async with self._turns.turn(owner):
                self._check_wanted(wanted, feed)
                runs = await self._source.shape(wanted.environment, wanted.shape, documents=feed.wants_documents)
                shown = await _shown(runs, wanted.skip)
                self._check_wanted(wanted, feed)
        except BaseException:
            if self._feeds.get(wanted) is feed:
                self._drop(wanted)
            raise
        finally:
            feed.loading = None
        if isinstance(wanted.shape, BatchRuns) and self._feeds.get(wanted) is feed:
            self._rooms[wanted.environment].link(feed, [run.id for run in runs])
        seen = feed.fill(runs, shown)
        self.touch(wanted.environment, feed.late)
        feed.late = set()
        return seen

    def _check_wanted(self, wanted: Subscription, feed: Feed) -> None:
        """Go no further with a feed that was let go: nobody would let go of what it gets.

        Raises:
            RateLimited: It had to give way to others.
            Unavailable: The server is about to stop.
        """
        if self.closed:
            raise Unavailable("the server is about to stop; subscribe to another")
        if self._feeds.get(wanted) is not feed:
            raise RateLimited("this subscription had to give way to others; try again later")

    def _open(self, wanted: Subscription, owner: Owner) -> Feed:
        leaver = self._kept.leaver(owner)
        if leaver is not None:
            self._drop(leaver)
        self._kept.take(owner, wanted)
        room = self._rooms.get(wanted.environment)
        if room is None:
            room = Room(wanted.environment, self._source)
            self._rooms[wanted.environment] = room
            self._on_join(wanted.environment)
        feed = self._feeds[wanted] = Feed(wanted.shape, wanted.skip, self._last)
        room.add(feed)
        if self._sweeping is None and not self.closed:
            loop = asyncio.get_running_loop()
            self._checked = loop.time()
            self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep)
        return feed

    def _drop(self, wanted: Subscription) -> None:
        feed = self._feeds.pop(wanted, None)
        if feed is None:
            return
        self._kept.leave(wanted)
        self._last.drop(feed)
        feed.wake()
        room = self._rooms[wanted.environment]
        room.remove(feed)
        if room.is_empty:
            room.close()
            del self._rooms[wanted.environment]
            self._on_leave(wanted.environment)

    def _sweep(self) -> None:
        """Let go of feeds that nobody asks for any more, and look after the others now and then."""
        loop = asyncio.get_running_loop()
        self._sweeping = None
        for wanted, feed in list(self._feeds.items()):
            if feed.is_idle and feed.used_at + _KEEP_SECONDS < loop.time():
                self._drop(wanted)
        if self._checked + _CHECK_SECONDS < loop.time():
            self._checked = loop.time()
            for room in self._rooms.values():
                room.check()
        if self._feeds and not self.closed:
            self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep)


async def _shown(rows: Sequence[ShapeRow], skip: Skip) -> dict[uuid.UUID, Shown]:
    """Encode rows, and let others go on meanwhile."""
    shown: dict[uuid.UUID, Shown] = {}
    done = 0
    for row in rows:
        each = shown[row.id] = Row(row).shown(skip)
        done += _BREATH_BYTES // _BREATH_ROWS + len(each)
        if done >= _BREATH_BYTES:
            done = 0
            await asyncio.sleep(0)
    return shown
