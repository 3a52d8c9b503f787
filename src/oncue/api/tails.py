"""Tails: the ends of streams that somebody follows, read once for however many readers.

A tail keeps the last chunks in memory. It is read anew when a server tells of new chunks or of a change of its run, and
once a minute, should the word have been lost; readers that are behind what it keeps read for themselves until they have
caught up. Without readers there is no tail.

Life of a run, this module's part::

    api/routes/streams -> Tails.join -> Reader; api/relay -> Tails.touch -> one statement -> chunks for all readers
"""

import asyncio
import functools
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeAlias

from oncue.api import moments
from oncue.api.rounds import Rounds
from oncue.api.seats import Owner, count_down
from oncue.api.turns import Turns
from oncue.engine import run_streams
from oncue.engine.run_streams import Chunk, Name
from oncue.protocol import limits
from oncue.protocol.errors import NotFound, RateLimited, Unavailable

_KEPT: Final = 1_000
_KEPT_CHARS: Final = 256 * 1024
_AT_ONCE: Final = 2
"""Readers behind what is kept for whom is read at a time: triggers and outcomes need connections too."""
_CHECK_SECONDS: Final = 60.0

ReadTail: TypeAlias = Callable[[int, uuid.UUID, Name], Awaitable[run_streams.Tail]]
ReadChunks: TypeAlias = Callable[[int, uuid.UUID, Name, int], Awaitable[list[Chunk]]]


class Tails:
    """The streams that clients of this server follow."""

    def __init__(
        self,
        *,
        read_tail: ReadTail,
        read_chunks: ReadChunks,
        on_join: Callable[[int], None],
        on_leave: Callable[[int], None],
    ) -> None:
        """Begin with none.

        Args:
            read_tail: Returns where a stream of an environment's run ends for now.
            read_chunks: Returns chunks of it from a number on.
            on_join: A stream of an environment is about to be followed.
            on_leave: One is followed no longer.
        """
        self._read_tail, self._read_chunks = read_tail, read_chunks
        self._on_join, self._on_leave = on_join, on_leave
        self._tails: dict[tuple[int, uuid.UUID], dict[Name, _Tail]] = {}
        self._readers = 0
        self._of: Counter[int] = Counter()
        """Readers, by environment."""
        self._owned: Counter[Owner] = Counter()
        """Those of public access tokens."""
        self._turns = Turns(_AT_ONCE)
        self._closed = False

    def __len__(self) -> int:
        """Return how many readers there are."""
        return self._readers

    def touch(self, environment: int, runs: Collection[uuid.UUID]) -> None:
        """Look at streams of runs: there may be new chunks, or the run may have ended."""
        if self._tails:
            for run in runs:
                for tail in self._tails.get((environment, run), {}).values():
                    tail.look()

    def refresh(self, environment: int | None) -> None:
        """Look at all streams of an environment, or of None at all there are."""
        for (each, _), tails in self._tails.items():
            if environment in {None, each}:
                for tail in tails.values():
                    tail.look()

    async def join(self, owner: Owner, run: uuid.UUID, name: Name, *, first: int | None) -> "Reader":
        """Return a reader of a stream, who holds a place until he leaves.

        Args:
            owner: Whose reader, and in which environment.
            run: The stream's run.
            name: The stream.
            first: The number of the first chunk that is wanted; None: the next that comes.

        Raises:
            NotFound: There is no such run.
            RateLimited: There are too many readers, or too many of this environment or token.
            Unavailable: The server is about to stop.
        """
        if self._closed:
            raise _closing()
        self._check_room(owner)
        environment = owner.environment
        tail = self._tails.setdefault((environment, run), {}).get(name)
        if tail is None:
            tail = _Tail(environment, run, name, self._read_tail, self._read_chunks)
            self._tails[environment, run][name] = tail
            self._on_join(environment)
        tail.readers += 1
        self._readers += 1
        self._of[environment] += 1
        self._owned[owner] += 1
        leave = functools.partial(self._leave, tail, owner)
        try:
            await tail.ready()
        except BaseException:
            leave()
            raise
        return Reader(tail, tail.end if first is None else first, functools.partial(self._next, owner), leave)

    def close(self) -> None:
        """Let all readers go; they are to come back, elsewhere."""
        self._closed = True
        for tails in self._tails.values():
            for tail in tails.values():
                tail.wake()

    async def _next(self, owner: Owner, tail: "_Tail", at: int, seconds: float) -> Sequence[Chunk] | None:
        """Return the chunks from a number on, none when the time is up; None where there will be no more."""
        if at >= tail.end and not tail.has_ended and not self._closed:
            await tail.wait(seconds)
        if self._closed:
            raise _closing()
        if at < tail.begin:
            # Chunks that were there are gone with their run, and no others will take their places.
            async with self._turns.turn(owner):
                return await self._read_chunks(tail.environment, tail.run, tail.name, at) or None
        if at < tail.end:
            return tail.kept(at)
        return None if tail.has_ended else ()

    def _check_room(self, owner: Owner) -> None:
        """Refuse a reader where there is no room for him.

        No environment has more than it leaves to others, so that none can shut them out; nor has a token, which may
        have got about, more than it may have of subscriptions.
        """
        most = limits.MAX_TOKEN_SUBSCRIPTIONS
        if owner.token is not None and self._owned[owner] >= most:
            raise RateLimited(f"{most:,} streams are followed here with this token; try again later")
        taken = self._of[owner.environment]
        if taken >= limits.MAX_STREAM_READERS - self._readers:
            raise RateLimited(f"{taken:,} streams of this environment are followed here; try again later")

    def _leave(self, tail: "_Tail", owner: Owner) -> None:
        tail.readers -= 1
        self._readers -= 1
        count_down(self._of, owner.environment)
        count_down(self._owned, owner)
        if not tail.readers:
            self._drop(tail)

    def _drop(self, tail: "_Tail") -> None:
        tails = self._tails[tail.environment, tail.run]
        del tails[tail.name]
        if not tails:
            del self._tails[tail.environment, tail.run]
        tail.close()
        self._on_leave(tail.environment)


class Reader:
    """One who follows a stream, and how far he is."""

    def __init__(
        self,
        tail: "_Tail",
        at: int,
        read: Callable[["_Tail", int, float], Awaitable[Sequence[Chunk] | None]],
        leave: Callable[[], None],
    ) -> None:
        self._tail, self.at, self._read, self._leave = tail, at, read, leave
        self._has_left = False

    async def next(self, seconds: float) -> Sequence[Chunk] | None:
        """Return the next chunks as they come; None where the run has ended and everything was returned.

        Args:
            seconds: For how long to wait for them; then none are returned, and it goes on.

        Raises:
            Unavailable: The server is about to stop.
        """
        found = await self._read(self._tail, self.at, seconds)
        if found:
            self.at = found[-1].number + 1
        return found

    def leave(self) -> None:
        """Give the place back."""
        if not self._has_left:
            self._has_left = True
            self._leave()


class _Tail:
    """The end of one stream."""

    def __init__(
        self, environment: int, run: uuid.UUID, name: Name, read_tail: ReadTail, read_chunks: ReadChunks
    ) -> None:
        self.environment, self.run, self.name = environment, run, name
        self._read_tail, self._read_chunks = read_tail, read_chunks
        self.readers = 0
        self.has_ended = False
        self.begin = self.end = 0
        self._chunks: list[Chunk] = []
        self._chars = 0
        self._changed = asyncio.Event()
        self._is_stale = False
        self._rounds = Rounds(
            "oncue-tail",
            self._read,
            is_due=lambda: self._is_stale,
            event="realtime.failed",
            on_failed=self._mark_stale,
        )
        self._first: asyncio.Task[None] | None = None
        self._check = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._look_again)

    async def ready(self) -> None:
        """Return once it is known where the stream ends."""
        if self._first is None:
            self._first = asyncio.create_task(self._begin(), name="oncue-tail")
            self._first.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._first)

    def look(self) -> None:
        """Read what is new."""
        self._mark_stale()
        if self._first is not None and self._first.done():
            self._rounds.start()

    def kept(self, at: int) -> Sequence[Chunk]:
        """Return what is kept from a number on."""
        return self._chunks[at - self.begin :]

    async def wait(self, seconds: float) -> None:
        """Return when something changed, or the time is up."""
        await moments.passed(self._changed, seconds)

    def wake(self) -> None:
        """Let readers look."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Read no more."""
        self._check.cancel()
        self._rounds.cancel()
        if self._first is not None:
            self._first.cancel()

    async def _begin(self) -> None:
        tail = await self._read_tail(self.environment, self.run, self.name)
        self.begin = self.end = tail.chunks
        self.has_ended = tail.has_ended
        self._rounds.start()

    def _mark_stale(self) -> None:
        self._is_stale = True

    def _look_again(self) -> None:
        self._check = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._look_again)
        self.look()

    async def _read(self) -> None:
        self._is_stale = False
        # In this order: a run that has ended by then sends no more.
        try:
            tail = await self._read_tail(self.environment, self.run, self.name)
        except NotFound:
            # Too old to be kept; who follows it has all there was.
            tail = run_streams.Tail(chunks=self.end, has_ended=True)
        while self.end < tail.chunks:
            found = await self._read_chunks(self.environment, self.run, self.name, self.end)
            if not found:
                break
            self._keep(found)
            self.wake()
        if tail.has_ended and not self.has_ended:
            self.has_ended = True
            self.wake()

    def _keep(self, found: Sequence[Chunk]) -> None:
        self._chunks += found
        self._chars += sum(len(chunk.data) for chunk in found)
        self.end = found[-1].number + 1
        dropped = 0
        while len(self._chunks) - dropped > _KEPT or (
            self._chars > _KEPT_CHARS and dropped < len(self._chunks) - len(found)
        ):
            self._chars -= len(self._chunks[dropped].data)
            dropped += 1
        del self._chunks[:dropped]
        self.begin = self.end - len(self._chunks)


def _closing() -> Unavailable:
    return Unavailable("the server is about to stop; read on from another")
