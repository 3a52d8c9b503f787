"""Event streams: what a reader of a stream is sent, piece by piece, as server-sent events.

A stream may go on for days, so who reads it is looked at again and again: a key that was revoked or a token that has
expired meanwhile breaks it off, and the reader learns why when he comes back.

Source: wire contract §6.4.

Life of a run, this module's part::

    api/routes/streams -> Tails.join -> EventStream -> answers.send_pieces
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from oncue.api.tails import Reader
from oncue.engine.run_streams import Chunk

PING_SECONDS: Final = 10.0
"""So that nobody on the way takes an idle connection for a dead one. Source: wire contract §6.4."""
_SHORTEST_SECONDS: Final = 0.001
"""So that a timer that is early is not asked again and again."""


class EventStream:
    """The body of an answer, which ends with its stream."""

    def __init__(
        self, reader: Reader, *, tells_place: bool, timeout_s: float | None, check: Callable[[], Awaitable[None]]
    ) -> None:
        """Begin.

        Args:
            reader: Who reads; he leaves when this is closed, whether it has begun or not.
            tells_place: Send an event without data first, whose id says where reading begins.
            timeout_s: Without a chunk for so many seconds it ends.
            check: Raises what breaks it off, where the caller may read no longer.
        """
        self._reader, self._timeout_s, self._check = reader, timeout_s, check
        self._tells_place = tells_place
        self._arrived = self._checked = time.monotonic()

    def __aiter__(self) -> "EventStream":
        """Go through the pieces, which can be done once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece: events, or a comment while there are none.

        Raises:
            Unauthorized: The caller's key or token counts no more.
            Unavailable: The server is about to stop.
        """
        if self._tells_place:
            self._tells_place = False
            return b"id: 0-%d\n\n" % (self._reader.at - 1)
        while True:
            found = await self._reader.next(self._wait_s())
            now = time.monotonic()
            is_due = now >= self._checked + PING_SECONDS
            if is_due:
                await self._check()
                self._checked = now
            if found:
                self._arrived = now
                return _events(found)
            if found is None or (self._timeout_s is not None and now >= self._arrived + self._timeout_s):
                raise StopAsyncIteration
            # Else it was woken for nothing, or a moment before its time.
            if is_due:
                return b": ping\n\n"

    async def aclose(self) -> None:
        """Read no more."""
        self._reader.leave()

    def _wait_s(self) -> float:
        """Return how long it is until a comment is due, or the end."""
        due = self._checked + PING_SECONDS
        if self._timeout_s is not None:
            due = min(due, self._arrived + self._timeout_s)
        return max(_SHORTEST_SECONDS, due - time.monotonic())


def _events(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(map(_event, chunks))


def _event(chunk: Chunk) -> bytes:
    return f"id: {int(chunk.created_at.timestamp() * 1000)}-{chunk.number}\ndata: {chunk.data}\n\n".encode()
