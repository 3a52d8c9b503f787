"""Rate limiting: who may go on now, and when those may that have to wait.

The buckets are in PostgreSQL, so that all servers together keep to a limit. A server takes tokens in advance and spends
them from memory: one at first, each time twice as many while they are spent before they are stale, up to a fiftieth of
the bucket, or what comes back until they are stale where that is less. So a crowd costs few queries, one who calls now
and then wastes nothing, and small limits are kept to the token. A refusal is remembered until there can be enough
again. Development environments are not limited.

Life of a run, this module's part::

    api/routing, api/routes/batches -> Call.take -> RateLimits.take -> engine/rate_limits
"""

import asyncio
import datetime
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from oncue import telemetry
from oncue.engine.rate_limits import BATCH_ITEMS, PUBLIC_REQUESTS, REQUESTS, Bucket, Kind, Owner, RateLimit, Wanted
from oncue.protocol.errors import Unavailable

_KEEP_SECONDS: Final = 2.0
"""After that tokens in memory are dropped: somebody else may need them, and they have come back to the bucket."""
_SHARE: Final = 50
_BELIEVE_SECONDS: Final = 5.0
"""How long a refusal is repeated from memory at most: others may have given tokens back, or the bucket was lost."""
_TELL_SECONDS: Final = 60.0

_MOST_KNOWN: Final = 10_000
"""Buckets that a server remembers: each public access token has one."""

_SAID: Final[Mapping[Kind, tuple[str, str, str]]] = {
    REQUESTS: ("requests", "environment", "ONCUE_RATE_LIMIT_REQUESTS"),
    PUBLIC_REQUESTS: ("requests", "public access token", "ONCUE_RATE_LIMIT_PUBLIC_REQUESTS"),
    BATCH_ITEMS: ("batch items", "environment", "ONCUE_RATE_LIMIT_BATCH_ITEMS"),
}

Take: TypeAlias = Callable[[Owner, Kind, RateLimit, Wanted], Awaitable[Bucket]]
GiveBack: TypeAlias = Callable[[Owner, Kind, RateLimit, float], Awaitable[None]]


class Standing(NamedTuple):
    """Where a limit stands, as its caller is told."""

    kind: Kind
    limit: int
    remaining: int
    reset_ms: int
    """Epoch milliseconds: when there is enough for who was refused, or else when the bucket is full again."""
    wait_s: float
    """Until then."""
    refusal: str | None
    """What to tell who was refused; None: there was enough."""


class RateLimits:
    """The limits of a server's environments and of their public access tokens."""

    def __init__(
        self,
        limits: Mapping[Kind, RateLimit | None],
        *,
        take: Take,
        give_back: GiveBack,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing in memory.

        Args:
            limits: Of each bucket of production environments; None: there is no limit.
            take: Takes tokens from the database.
            give_back: Returns them.
            clock: Seconds.
        """
        self._limits, self._take, self._give_back, self._clock = limits, take, give_back, clock
        self._known: dict[tuple[int, Kind, bytes], _Known] = {}

    async def take(self, owner: Owner, kind: Kind, amount: int) -> Standing | None:
        """Take tokens for something that is about to be done, if there are enough.

        Args:
            owner: Whose.
            kind: Of what.
            amount: How many, at least 1; of more than the bucket's capacity no more than that need be there.

        Returns:
            Where the limit stands now; None where there is none.

        Raises:
            Unavailable: PostgreSQL does not answer.
        """
        limit = self._limit(owner, kind)
        if limit is None:
            return None
        known = self._known_of(owner, kind, limit)
        if known.spend(amount, self._clock()):
            return known.standing(kind, self._clock())
        known.waiting += amount
        failures = known.failures
        try:
            async with known.lock:
                if known.failures != failures:
                    # They waited together and fail together: one after the other they might wait for hours.
                    raise Unavailable(f"another request found that {known.failure}")
                is_granted = known.spend(amount, self._clock()) or await self._fetch(owner, kind, known, amount)
        finally:
            known.waiting -= amount
        standing = known.standing(kind, self._clock(), refused=None if is_granted else amount)
        if not is_granted and known.is_to_be_told(self._clock()):
            telemetry.event(
                "limit.reached",
                environment=owner.environment.slug,
                kind=kind,
                capacity=limit.capacity,
                refill=limit.refill,
                seconds=limit.seconds,
                wait_ms=round(standing.wait_s * 1000),
            )
        return standing

    async def give_back(self, owner: Owner, kind: Kind, amount: int) -> None:
        """Return tokens that were taken just now for something that was not done."""
        limit = self._limit(owner, kind)
        if amount <= 0 or limit is None:
            return
        await self._give_back(owner, kind, limit, amount)
        known = self._known.get(_identity(owner, kind))
        if known is not None:
            known.most_there += amount

    def _limit(self, owner: Owner, kind: Kind) -> RateLimit | None:
        return None if owner.environment.is_development else self._limits[kind]

    def _known_of(self, owner: Owner, kind: Kind, limit: RateLimit) -> "_Known":
        """Return what is known of a bucket, the one used last at the end of all."""
        identity = _identity(owner, kind)
        known = self._known.pop(identity, None) or _Known(limit)
        self._known[identity] = known
        if len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        return known

    async def _fetch(self, owner: Owner, kind: Kind, known: "_Known", amount: int) -> bool:
        """Take tokens from the bucket for one caller, for those that wait behind it, and in advance."""
        now = self._clock()
        held = known.held
        enough = min(amount, known.limit.capacity) - held
        if not known.may_have(enough, now):
            return False
        wanted = Wanted(enough, amount - held, max(known.waiting, known.next_chunk(now)) - held)
        # Nobody else spends what this one counts on.
        known.held = 0
        try:
            bucket = await self._take(owner, kind, known.limit, wanted)
        except BaseException as error:
            known.held = held
            if isinstance(error, Unavailable):
                known.failures, known.failure = known.failures + 1, error.message
            raise
        known.learn(bucket, now)
        if not bucket.taken:
            known.held = held
            return False
        known.held = held + bucket.taken - amount
        known.held_until = now + _KEEP_SECONDS
        return True


class _Known:
    """What a server holds of a bucket, and knows of it."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.lock = asyncio.Lock()
        """One caller at a time asks the database."""
        self.waiting = 0
        """Tokens for callers that wait for the lock, and for the one that has it."""
        self.failures = 0
        """How often the database did not answer."""
        self.failure = ""
        self.held: float = 0
        self.held_until = -math.inf
        self.most_there: float = limit.capacity
        """No more than that was in the bucket when the server last asked; since then it can only have been filled."""
        self._at = -math.inf
        self._at_epoch = 0.0
        self._chunk = 1
        self._quiet_until = -math.inf

    def spend(self, amount: int, now: float) -> bool:
        """Spend tokens that are held, if there are enough."""
        if now >= self.held_until:
            self.held = 0
        if self.held < amount:
            return False
        self.held -= amount
        return True

    def may_have(self, enough: float, now: float) -> bool:
        """Return whether so many tokens can be in the bucket."""
        return now - self._at >= _BELIEVE_SECONDS or self._there(now) >= enough

    def next_chunk(self, now: float) -> int:
        """Return how many tokens to take in advance, after those that were held are spent or stale."""
        largest = max(1, min(self.limit.capacity // _SHARE, int(self.limit.per_second * _KEEP_SECONDS)))
        self._chunk = min(2 * self._chunk, largest) if now < self.held_until else 1
        return self._chunk

    def learn(self, bucket: Bucket, asked_at: float) -> None:
        """Take note of what the database says."""
        self.most_there, self._at, self._at_epoch = bucket.tokens, asked_at, bucket.at.timestamp()

    def is_to_be_told(self, now: float) -> bool:
        """Return whether a refusal is to be logged: the first one, and then one a minute."""
        if now < self._quiet_until:
            return False
        self._quiet_until = now + _TELL_SECONDS
        return True

    def standing(self, kind: Kind, now: float, *, refused: int | None = None) -> Standing:
        """Say where the limit stands.

        Args:
            kind: Of the bucket.
            now: By the server's clock.
            refused: How many tokens the caller asked for in vain.
        """
        capacity = self.limit.capacity
        there = self._there(now) + self.held
        wait_s = max(0.0, (min(capacity, refused or capacity) - there) / self.limit.per_second)
        # By PostgreSQL's clock, which all servers share; rounded up, so that who comes at that moment is let through.
        reset_ms = math.ceil((self._at_epoch + now - self._at + wait_s) * 1000)
        refusal = None if refused is None else _refusal(kind, self.limit, refused, reset_ms)
        return Standing(kind, capacity, max(0, math.floor(there)), reset_ms, wait_s, refusal)

    def _there(self, now: float) -> float:
        return min(self.limit.capacity, self.most_there + (now - self._at) * self.limit.per_second)


def _identity(owner: Owner, kind: Kind) -> tuple[int, Kind, bytes]:
    return owner.environment.id, kind, owner.token


def _refusal(kind: Kind, limit: RateLimit, asked: int, reset_ms: int) -> str:
    what, whose, setting = _SAID[kind]
    until = datetime.datetime.fromtimestamp(reset_ms / 1000, datetime.UTC).isoformat(timespec="milliseconds")
    found = "" if asked == 1 else f"{asked:,} more are "
    return (
        f"too many {what}: {found}over the limit of this {whose}, which is {limit.capacity:,} at once and "
        f"{limit.refill:,} more every {limit.seconds:,} s; wait until {until}, or raise {setting}"
    )
