"""Rooms: the feeds of one environment, and the task that reads for all of them the runs that changed.

What changed while a statement was under way is gathered for the next, so that a burst of changes costs few, and each of
them reads a row once for however many feeds. A row that looks as it did is told to nobody. Once a minute it is compared
in which versions runs are: word of a change may have been lost, for instance with a server that died between its COMMIT
and its NOTIFY.

Life of a run, this module's part::

    Feeds.touch -> Room.touch -> one statement -> Feed.offer -> Feed.wait returns
"""

import asyncio
import datetime
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from oncue.api import sources
from oncue.api.electric import Row
from oncue.api.rounds import Rounds
from oncue.api.seen import Feed
from oncue.api.shapes import BatchRuns, Index, OneRun, TaggedRuns
from oncue.api.sources import Source
from oncue.engine.realtime import Outline, ShapeRow

_AT_ONCE: Final = 500
"""Changed runs that are looked at together."""
_FEW: Final = 16
"""Runs that are read whole without asking first how large they are."""
_BREATH: Final = 200
"""Feeds that are offered something before anybody else may go on."""
_BREATH_BYTES: Final = 256 * 1024
"""Of rows that are encoded for them likewise."""
_LOOKS: Final = 20
"""Outlines that are looked at likewise, by however many feeds."""
_RECENT: Final = datetime.timedelta(minutes=5)
"""How old the ids of new runs may be that a check looks for: callers mint them, by clocks of their own."""
_DEEP: Final = 10
"""Every so many checks, from the first on, all runs are looked at that shapes with tags may show, and all batches."""
_VERSIONS: Final = 20_000
"""Runs whose version is remembered; a check reads others whole."""


class Room:
    """The feeds of one environment."""

    def __init__(self, environment: int, source: Source) -> None:
        """Begin empty; runs are read from a source."""
        self.environment = environment
        self._source = source
        self._index: Index[Feed] = Index()
        self._feeds: dict[Feed, None] = {}
        self._documents = 0
        self._changed: set[uuid.UUID] = set()
        self._stale: dict[Feed, None] = {}
        self._versions: dict[uuid.UUID, str] = {}
        self._filled: dict[uuid.UUID, int] = {}
        self._checks = 0
        self._is_unchecked = False
        self._rounds = Rounds("oncue-realtime", self._read, is_due=self._is_due, event="realtime.failed")

    @property
    def is_empty(self) -> bool:
        """Whether it has no feeds."""
        return not self._feeds

    def add(self, feed: Feed) -> None:
        """Take a feed in."""
        self._feeds[feed] = None
        self._documents += feed.wants_documents
        self._index.add(feed.shape, feed)

    def remove(self, feed: Feed) -> None:
        """Let a feed go."""
        del self._feeds[feed]
        self._documents -= feed.wants_documents
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
        self._rounds.start()

    def refresh(self) -> None:
        """Have everything read anew."""
        self._changed.update(self._index.named)
        self._stale.update(dict.fromkeys(feed for feed in self._feeds if not isinstance(feed.shape, OneRun)))
        self._rounds.start()

    def check(self) -> None:
        """Look for changes of which no word came."""
        self._is_unchecked = True
        self._rounds.start()

    def close(self) -> None:
        """Read no more."""
        self._rounds.cancel()

    def _is_due(self) -> bool:
        return bool(self._changed or self._stale or self._is_unchecked)

    async def _read(self) -> None:
        if self._is_unchecked:
            # First, or it would never come to it where something changes all the time; and once, or its failures
            # would keep what changed from being read.
            self._is_unchecked = False
            await self._compare()
        if self._changed:
            await self._read_changed()
        if self._stale:
            await self._read_stale()

    async def _read_changed(self) -> None:
        runs = {self._changed.pop() for _ in range(min(len(self._changed), _AT_ONCE))}
        try:
            if self._index.has_tags or len(runs) > _FEW:
                found = await self._read_wanted(runs)
            else:
                found = await self._read_group(runs)
        except BaseException:
            self._changed.update(runs)
            raise
        for missing in runs - found:
            # An item of a batch that stands for the run of another.
            self._stale.update(dict.fromkeys(self._index.of_batch(missing)))

    async def _read_wanted(self, runs: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Read runs as far as they concern anybody, and return which there are."""
        found: set[uuid.UUID] = set()
        wanted: list[Outline] = []
        async for outlines in self._source.outlines(self.environment, runs):
            found.update(outline.id for outline in outlines)
            wanted += [each for each in outlines if next(self._index.matching(each), None) is not None]
        for group in sources.groups(wanted):
            await self._read_group(group)
        return found

    async def _read_group(self, runs: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Read runs, offer them to whom they concern, and return which there are."""
        began = asyncio.get_running_loop().time()
        rows = await self._source.runs(self.environment, runs, documents=self._documents > 0)
        await self._offer(rows, began)
        for row in rows:
            # In the order in which they were seen last, so that those go that were not seen for long.
            self._versions.pop(row.id, None)
            self._versions[row.id] = row.version
        while len(self._versions) > _VERSIONS:
            del self._versions[next(iter(self._versions))]
        return {row.id for row in rows}

    async def _read_stale(self) -> None:
        """Look at all runs of a feed, and have those read that are not as they were told."""
        feed = next(iter(self._stale))
        del self._stale[feed]
        assert not isinstance(feed.shape, OneRun)
        try:
            outlines = await self._source.outlined(self.environment, feed.shape)
        except BaseException:
            if feed in self._feeds:
                self._stale[feed] = None
            raise
        if feed not in self._feeds:
            return
        if isinstance(feed.shape, BatchRuns):
            self.link(feed, [outline.id for outline in outlines])
        # What others were told is news for a feed that was not about the run then.
        self._changed.update(outline.id for outline in outlines if not feed.knows(outline.id))
        await self._note_changed(outlines)

    async def _offer(self, rows: Sequence[ShapeRow], began: float) -> None:
        done = 0
        for row in map(Row, rows):
            for feed in list(self._index.matching(row.run)):
                before = row.encoded_bytes
                self._offer_one(feed, row, began)
                done += _BREATH_BYTES // _BREATH + row.encoded_bytes - before
                if done >= _BREATH_BYTES:
                    done = 0
                    await asyncio.sleep(0)

    def _offer_one(self, feed: Feed, row: Row, began: float) -> None:
        if feed.is_loading:
            feed.late.add(row.run.id)
        elif feed.filled_at >= began:
            # What filled it was read meanwhile and may be newer: look once more.
            self._changed.add(row.run.id)
        else:
            feed.offer(row.run.id, row)

    async def _compare(self) -> None:
        """Find the runs that changed without a word, and have them read."""
        is_deep = self._checks % _DEEP == 0
        known = {*self._index.named, *self._versions}
        for feed in list(self._feeds):
            known.update(feed.unfinished)
        async for outlines in self._source.outlines(self.environment, known):
            await self._note_changed(outlines)
        if self._index.has_tags:
            within = self._lookback() if is_deep else _RECENT
            await self._note_changed(await self._source.recent(self.environment, self._index.tags, within=within))
        await self._compare_batches(is_deep=is_deep)
        self._checks += 1

    async def _note_changed(self, outlines: Iterable[Outline]) -> None:
        for number, outline in enumerate(outlines):
            feeds = self._index.matching(outline)
            if self._versions.get(outline.id) != outline.version:
                if any(feed.expects(outline) for feed in feeds):
                    self._changed.add(outline.id)
            elif next(feeds, None) is None:
                del self._versions[outline.id]
            if number % _LOOKS == 0:
                await asyncio.sleep(0)

    def _lookback(self) -> datetime.timedelta:
        """Return how old the ids of runs may be that a shape shows: a day more than the run, where a batch made it."""
        since = min(feed.shape.since for feed in self._feeds if isinstance(feed.shape, TaggedRuns))
        return datetime.datetime.now(datetime.UTC) - since + datetime.timedelta(days=1)

    async def _compare_batches(self, *, is_deep: bool) -> None:
        feeds = [(feed, feed.shape.batch) for feed in self._feeds if isinstance(feed.shape, BatchRuns)]
        if not feeds:
            return
        found = await self._source.fillings(self.environment, {batch for _, batch in feeds})
        now = {filling.id: filling.filled for filling in found}
        for feed, batch in feeds:
            if feed in self._feeds and (is_deep or now.get(batch) != self._filled.get(batch)):
                self._stale[feed] = None
        self._filled = now
