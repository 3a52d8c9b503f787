"""Polls: claims held open, and which of them to wake when there is work.

As few are woken as the runs that became claimable need: whoever looks first takes what it has places for, and only what
is left wakes the next. Workers of one kind (same tasks, same queues) stand for each other: when one of them found
nothing, the others of its kind are left alone until there is something new.

No wake-up is lost: a poll is registered before it looks, and what happens while it looks is counted until it has
looked again. Should a server's hint get lost on the way, one poll in turn looks again every few seconds, however many
are held.

Life of a run, this module's part::

    api/wakeups -> Polls.line_up -> Poll.wait returns -> api/claims looks again
"""

import asyncio
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from types import TracebackType
from typing import Final, Self

_TURN_SECONDS: Final = 5.0
_SHORTEST_TURN_SECONDS: Final = 2.0
"""A look is about five statements: at most 2.5 of them a second for a whole server."""


class Polls:
    """The claims that this server holds open."""

    def __init__(self) -> None:
        self._rooms: dict[int, _Room] = {}
        self._by_worker: defaultdict[uuid.UUID, set[Poll]] = defaultdict(set)
        self._waiting: dict[Poll, None] = {}
        self._turn: asyncio.TimerHandle | None = None
        self.closed = False

    def hold(self, environment_id: int, worker: uuid.UUID, *, places: int, kind: Hashable) -> "Poll":
        """Register a claim; use it as a context manager around looking and waiting.

        Args:
            places: Runs it can take; 0 for one that only wants notices.
            kind: Equal for workers that can be given the same runs.
        """
        room = self._rooms.get(environment_id)
        if room is None:
            room = self._rooms[environment_id] = _Room(environment_id)
        return Poll(self, room, worker, places, kind)

    def line_up(self, environment_id: int, runs: int) -> None:
        """Wake as many polls of an environment as it takes for runs that became claimable."""
        room = self._rooms.get(environment_id)
        if room is not None:
            room.line_up(runs)

    def notice(self, workers: Iterable[uuid.UUID]) -> None:
        """Wake the polls of workers that have a notice to fetch."""
        for worker in workers:
            for poll in tuple(self._by_worker.get(worker, ())):
                poll.notice()

    def room_freed(self, worker: uuid.UUID) -> None:
        """Wake the polls of a worker that had too little room: it may have more now."""
        for poll in tuple(self._by_worker.get(worker, ())):
            if poll.wants_room:
                poll.notice()

    def abandon(self, worker: uuid.UUID) -> None:
        """Give up the polls of a worker: it no longer waits for their answers."""
        for poll in tuple(self._by_worker.get(worker, ())):
            poll.abandon()

    def wake_all(self) -> None:
        """Let every poll look again: hints may have been missed."""
        for polls in tuple(self._by_worker.values()):
            for poll in tuple(polls):
                poll.notice()

    def close(self) -> None:
        """Let every poll end now, and those that come later at their first wait: the server stops."""
        self.closed = True
        for poll in tuple(self._waiting):
            poll.end()

    def __len__(self) -> int:
        """How many are waiting."""
        return len(self._waiting)

    def enter(self, poll: "Poll") -> None:
        """Count a poll in."""
        self._by_worker[poll.worker].add(poll)
        poll.room.kinds[poll.kind] += 1

    def leave(self, poll: "Poll") -> None:
        """Count a poll out, and forget what nobody needs any more."""
        mine = self._by_worker[poll.worker]
        mine.discard(poll)
        if not mine:
            del self._by_worker[poll.worker]
        room = poll.room
        if room.leave(poll.kind) and self._rooms.get(room.environment_id) is room:
            del self._rooms[room.environment_id]

    def start_waiting(self, poll: "Poll") -> None:
        """Give a poll its place in the turn of looks that nobody asked for."""
        self._waiting[poll] = None
        if self._turn is None:
            self._plan_turn()

    def stop_waiting(self, poll: "Poll") -> None:
        """Take a poll out of the turn."""
        self._waiting.pop(poll, None)

    def _plan_turn(self) -> None:
        pause = max(_SHORTEST_TURN_SECONDS, _TURN_SECONDS / len(self._waiting))
        # At random, so that many servers do not look in step.
        pause *= random.uniform(0.9, 1.1)  # noqa: S311
        self._turn = asyncio.get_running_loop().call_later(pause, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if self._waiting:
            # Plan before waking: whoever is woken comes back to the end of the line.
            self._plan_turn()
            next(iter(self._waiting)).notice()


class Poll:
    """A claim that is held open until there is something for it.

    Attributes:
        is_abandoned: Nobody waits for its answer: what it finds must be handed back.
        wants_room: Runs that are held to machines are in line, for which its worker has no room.

    Example::

        with polls.hold(...) as poll:
            while True:
                poll.start_look()
                found = ...
                poll.end_look(len(found))
                if found or not await poll.wait(seconds):
                    return found
    """

    __slots__ = (
        "_answer", "_generation", "_has_notice", "_is_looking", "_polls", "_promised", "is_abandoned", "kind",
        "places", "room", "wants_room", "worker",
    )  # fmt: skip

    def __init__(self, polls: Polls, room: "_Room", worker: uuid.UUID, places: int, kind: Hashable) -> None:
        self._polls, self.room = polls, room
        self.worker, self.places, self.kind = worker, places, kind
        self._answer: asyncio.Future[bool] | None = None
        self._generation, self._promised = 0, 0
        self._is_looking = self._has_notice = self.is_abandoned = self.wants_room = False

    def __enter__(self) -> Self:
        """Register; from now on nothing that happens is missed."""
        self._polls.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; a wake-up that was not used goes to the next."""
        self._stop_look()
        self.room.pump()
        self._polls.leave(self)

    def start_look(self) -> None:
        """Say that the database is asked now."""
        self._generation, self._has_notice = self.room.generation, False
        self._is_looking = True
        self.room.looking += 1

    def end_look(self, found: int) -> None:
        """Say how many runs the look brought."""
        self._stop_look()
        if self.places and not (self.wants_room and not found):
            # One without room says nothing of others of its kind.
            self.room.looked(self.kind, self._generation, found=found, places=self.places)
        # What was lined up while it looked is still to be looked for: by this one, unless another does.
        self.room.pump(settles=self._generation == self.room.generation)

    @property
    def may_look(self) -> bool:
        """Whether it was not ended for good."""
        return not self._polls.closed and not self.is_abandoned

    async def wait(self, seconds: float) -> bool:
        """Wait for a reason to look again.

        Returns:
            False where there will be none: the time is up, or the poll was ended.
        """
        if self._polls.closed or self.is_abandoned or seconds <= 0:
            return False
        if self._has_notice:
            return True
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        timer = loop.call_later(seconds, self.end)
        self._polls.start_waiting(self)
        if self.places:
            self.room.idle[self] = None
            self.room.pump()
        try:
            return await self._answer
        finally:
            timer.cancel()
            self._settle(answer=False)

    def wake(self) -> int:
        """Send it to look for runs; returns how many it can take."""
        self._promised = self.places
        self.room.promised += self._promised
        self._settle(answer=True)
        return self._promised

    def notice(self) -> None:
        """Let it look again, whatever there is."""
        self._has_notice = True
        self._settle(answer=True)

    def end(self) -> None:
        """Let it come back with nothing."""
        self._settle(answer=False)

    def abandon(self) -> None:
        """Let it come back with nothing, and give it nothing more."""
        self.is_abandoned = True
        self.end()

    def _settle(self, *, answer: bool) -> None:
        self.room.idle.pop(self, None)
        self._polls.stop_waiting(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _stop_look(self) -> None:
        self.room.promised -= self._promised
        self._promised = 0
        if self._is_looking:
            self._is_looking = False
            self.room.looking -= 1


class _Room:
    """The polls of one environment.

    Attributes:
        environment_id: Which one.
        idle: Those waiting for runs, longest first.
        kinds: How many are held, of each kind.
        dry: By kind, the generation in which one of it found nothing.
        generation: Raised whenever runs become claimable.
        need: Runs that became claimable and that no look has brought yet, at most.
        promised: Places of those that were woken and have not looked yet.
        looking: How many ask the database now.
    """

    __slots__ = ("dry", "environment_id", "generation", "idle", "kinds", "looking", "need", "promised")

    def __init__(self, environment_id: int) -> None:
        self.environment_id = environment_id
        self.idle: dict[Poll, None] = {}
        self.kinds: Counter[Hashable] = Counter()
        self.dry: dict[Hashable, int] = {}
        self.generation = 1
        self.need = self.promised = self.looking = 0

    def line_up(self, runs: int) -> None:
        self.generation += 1
        self.need += runs
        self.pump()

    def looked(self, kind: Hashable, generation: int, *, found: int, places: int) -> None:
        self.need = max(0, self.need - found)
        if not found:
            self.dry[kind] = max(generation, self.dry.get(kind, 0))
        elif found >= places:
            # It might have found more: the next of its kind shall see.
            self.dry.pop(kind, None)
            self.need = max(self.need, self.promised + 1)

    def pump(self, *, settles: bool = True) -> None:
        """Wake idle polls until what was promised covers the need.

        Args:
            settles: Whether the need is forgotten where nobody is left to wake; not while one is about to wait.
        """
        while self.need > self.promised:
            poll = next((poll for poll in self.idle if self.dry.get(poll.kind, 0) < self.generation), None)
            if poll is not None:
                poll.wake()
                continue
            if settles and not self.looking and not self.promised:
                # Everybody here has looked since; whoever comes looks first.
                self.need = 0
            return

    def leave(self, kind: Hashable) -> bool:
        """Count one out; returns whether the room is empty."""
        self.kinds[kind] -= 1
        if not self.kinds[kind]:
            del self.kinds[kind]
            self.dry.pop(kind, None)
        return not self.kinds
