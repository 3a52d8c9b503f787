"""Unread: large answers that are on their way to bearers of public access tokens.

Whoever reads slowly, or not at all, has his answers kept in memory until he has them. A bearer of a token may be
anybody, so there is a bound for each token and one for all of them.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from oncue.api.seats import Owner, count_down
from oncue.protocol import limits
from oncue.protocol.errors import RateLimited


class Unread:
    """How many bytes are on their way."""

    def __init__(self) -> None:
        """Begin with none."""
        self._bytes: Counter[Owner] = Counter()
        self._of: Counter[int] = Counter()
        """By environment."""
        self._all = 0

    def __len__(self) -> int:
        """Return how many bytes are on their way to all tokens together."""
        return self._all

    @contextmanager
    def kept(self, owner: Owner | None, size: int) -> Iterator[None]:
        """Count an answer for the length of the block; one to a secret key or to nobody known is not counted.

        Raises:
            RateLimited: There is too much already, of the token or of its environment: that has no more than it leaves
                to others, so that none can shut them out.
        """
        if owner is None or owner.token is None:
            yield
            return
        before = self._bytes[owner]
        if before and before + size > limits.MAX_TOKEN_UNREAD_BYTES:
            raise RateLimited(f"{before:,} bytes of answers to this token are not read yet; read them, then ask again")
        if self._of[owner.environment] + size > limits.MAX_UNREAD_BYTES - self._all:
            raise RateLimited("too many answers to tokens of this environment are not read yet; try again later")
        self._bytes[owner] += size
        self._of[owner.environment] += size
        self._all += size
        try:
            yield
        finally:
            self._all -= size
            count_down(self._bytes, owner, size)
            count_down(self._of, owner.environment, size)
