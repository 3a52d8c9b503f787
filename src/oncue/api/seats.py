"""Seats: who has to leave when there are more subscriptions than a server can keep.

As long as there is room, anybody may have as much of it as there is, but for a public access token. When it is short,
the environment that has the most gives way to those that have less, so that none can keep the others out. Who came and
never came back goes first.
"""

from collections import Counter
from typing import Generic, NamedTuple, TypeVar

from oncue.protocol import limits
from oncue.protocol.errors import RateLimited

T = TypeVar("T")


class Owner(NamedTuple):
    """Who takes a seat."""

    environment: int
    token: bytes | None = None
    """SHA-256 of the public access token; None: the secret key of the environment."""


class Seats(Generic[T]):
    """Seats, and who has them since when."""

    def __init__(self) -> None:
        """Begin with all of them free."""
        self._owners: dict[T, Owner] = {}
        self._fresh: dict[Owner, dict[T, None]] = {}
        self._used: dict[Owner, dict[T, None]] = {}
        self._counts: Counter[Owner] = Counter()
        self._environments: Counter[int] = Counter()

    def __len__(self) -> int:
        """Return how many are taken."""
        return len(self._owners)

    def leaver(self, owner: Owner) -> T | None:
        """Return who has to leave before an owner may take a seat; None: nobody.

        Raises:
            RateLimited: The owner has to wait: nobody has more than it.
        """
        if owner.token is not None and self._counts[owner] >= limits.MAX_TOKEN_SUBSCRIPTIONS:
            return self._fresh_of(owner, f"this token has {limits.MAX_TOKEN_SUBSCRIPTIONS:,} subscriptions here")
        if len(self) < limits.MAX_SUBSCRIPTIONS:
            return None
        ((richest, most),) = self._environments.most_common(1)
        if most > self._environments[owner.environment]:
            greediest = self._greediest(richest, self._counts)
            return next(iter(self._fresh.get(greediest) or self._used[greediest]))
        fresh = Counter({each: len(members) for each, members in self._fresh.items()})
        return self._fresh_of(
            self._greediest(owner.environment, fresh), f"this server has {limits.MAX_SUBSCRIPTIONS:,} subscriptions"
        )

    def take(self, owner: Owner, member: T) -> None:
        """Give a seat to somebody who was never there before."""
        self._owners[member] = owner
        self._fresh.setdefault(owner, {})[member] = None
        self._counts[owner] += 1
        self._environments[owner.environment] += 1

    def use(self, member: T) -> None:
        """Note that somebody who has a seat came back."""
        owner = self._owners[member]
        _remove(self._fresh, owner, member)
        _remove(self._used, owner, member)
        self._used.setdefault(owner, {})[member] = None

    def leave(self, member: T) -> None:
        """Free a seat; harmless for who has none."""
        owner = self._owners.pop(member, None)
        if owner is None:
            return
        _remove(self._fresh, owner, member)
        _remove(self._used, owner, member)
        count_down(self._counts, owner)
        count_down(self._environments, owner.environment)

    def _greediest(self, environment: int, counts: Counter[Owner]) -> Owner:
        """Return who of an environment has the most."""
        there = (owner for owner in counts if owner.environment == environment)
        return max(there, key=counts.__getitem__, default=Owner(environment))

    def _fresh_of(self, owner: Owner, reason: str) -> T:
        for member in self._fresh.get(owner, ()):
            return member
        raise RateLimited(f"{reason}; try again later")


def _remove(places: dict[Owner, dict[T, None]], owner: Owner, member: T) -> None:
    there = places.get(owner)
    if there is not None:
        there.pop(member, None)
        if not there:
            del places[owner]


K = TypeVar("K")


def count_down(counts: Counter[K], key: K, number: int = 1) -> None:
    """Count so many less, and forget who has none left."""
    counts[key] -= number
    if not counts[key]:
        del counts[key]
