"""Rate limits: buckets of tokens that all servers take from.

A bucket is filled as time passes, by PostgreSQL's clock, and holds no more than its capacity. Whoever asks for more
than that is served from a full bucket and leaves a debt, so that nothing is asked for in vain for ever. What is limited
and by how much is the server's to say (``api/settings``); how tokens are spent is in ``api/rate_limiting``.
"""

import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx

Kind: TypeAlias = Literal["requests", "public_requests", "batch_items"]

REQUESTS: Final = "requests"
PUBLIC_REQUESTS: Final = "public_requests"
"""Those that carry a public access token, each of which has a bucket of its own."""
BATCH_ITEMS: Final = "batch_items"


class Owner(NamedTuple):
    """Whose a bucket is."""

    environment: Environment
    token: bytes = b""
    """SHA-256 of the public access token that has it; empty: the environment itself."""


class RateLimit(msgspec.Struct, frozen=True):
    """How much may happen: ``capacity`` at once, and ``refill`` more every ``seconds``."""

    capacity: int
    refill: int
    seconds: int

    @property
    def per_second(self) -> float:
        """Tokens that come back each second."""
        return self.refill / self.seconds


class Wanted(msgspec.Struct, frozen=True):
    """What somebody asks of a bucket."""

    enough: float
    """How many tokens have to be there; with fewer none is taken."""
    least: float
    """How many are taken then, though there be fewer."""
    most: float
    """How many are taken if they are there."""


class Bucket(msgspec.Struct, frozen=True):
    """A bucket after tokens were taken from it, or could not be."""

    tokens: float
    """What it holds; below zero: a debt."""
    at: datetime.datetime
    """When it held that."""
    taken: float
    """What was taken, 0 where there was not enough."""


_sql = queries.load("rate_limits")
_take = _sql.one("take", Bucket)
_give_back = _sql.none("give_back")
_forget = _sql.none("forget")


async def take(tx: Tx, owner: Owner, kind: Kind, limit: RateLimit, wanted: Wanted) -> Bucket:
    """Take tokens of a bucket, if there are enough; one that nobody has asked yet is full."""
    return await _take(
        tx,
        env_id=owner.environment.id,
        kind=kind,
        token=owner.token,
        capacity=limit.capacity,
        per_second=limit.per_second,
        enough=wanted.enough,
        least=wanted.least,
        most=wanted.most,
    )


async def give_back(tx: Tx, owner: Owner, kind: Kind, limit: RateLimit, amount: float) -> None:
    """Return tokens that were taken a moment ago and not used."""
    await _give_back(
        tx,
        env_id=owner.environment.id,
        kind=kind,
        token=owner.token,
        capacity=limit.capacity,
        amount=amount,
    )


async def forget(tx: Tx) -> None:
    """Drop the buckets of public access tokens that nobody has used for a day."""
    await _forget(tx)
