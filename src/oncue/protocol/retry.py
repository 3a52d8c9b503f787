"""Retry: how often a task is attempted, and how long to wait in between.

A declaration and its formula; whether a failure is retried at all is decided in ``engine/retries.py``.

Source: wire contract §8.2.
"""

import datetime
import random
from typing import Final

import msgspec

from oncue.protocol import durations, limits

NO_RETRY_ATTEMPTS: Final = 1
"""Attempts of a task that says nothing of retries."""


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A task's retry settings on the wire and in the database; times in milliseconds."""

    max_attempts: int = 3
    factor: float = 2.0
    min_timeout_ms: int = 1_000
    max_timeout_ms: int = 60_000
    randomize: bool = True
    out_of_memory_machine: str | None = None

    def wait_after(self, attempt: int, *, rng: random.Random | None = None) -> datetime.timedelta:
        """Return how long to wait after an attempt failed.

        Args:
            attempt: The number of the attempt that failed, from 1.
            rng: Where randomness comes from; the module's by default.

        Returns:
            ``min(max, r * min * factor ** (attempt - 1))`` with r drawn from [1, 2) where ``randomize``, else 1.
        """
        draw = (rng or random).random() if self.randomize else 0.0
        try:
            raw_ms = (1.0 + draw) * self.min_timeout_ms * self.factor ** (attempt - 1)
        except OverflowError:
            raw_ms = self.max_timeout_ms
        return datetime.timedelta(milliseconds=round(min(self.max_timeout_ms, raw_ms)))


def Retry(  # noqa: N802 - reads as the value it makes: retry=Retry(max_attempts=4)
    *,
    max_attempts: int = 3,
    factor: float = 2.0,
    min_timeout: durations.Duration = "1s",
    max_timeout: durations.Duration = "60s",
    randomize: bool = True,
    out_of_memory_machine: str | None = None,
) -> RetryPolicy:
    """Say how a task is retried.

    Args:
        max_attempts: Attempts in all, the first included, 1 to 250. 1 means no retry.
        factor: What each wait is multiplied by, at least 1.
        min_timeout: The first wait.
        max_timeout: The longest wait.
        randomize: Stretch each wait by a random factor from [1, 2), so that failures do not come back together.
        out_of_memory_machine: Preset for the attempt after one that ran out of memory.

    Raises:
        ValueError: An argument makes no sense; names it, what was given and what is accepted.
    """
    if isinstance(max_attempts, bool) or not 1 <= max_attempts <= limits.MAX_ATTEMPTS:
        message = f"max_attempts={max_attempts!r} is out of range; expected 1 to {limits.MAX_ATTEMPTS}"
        raise ValueError(message)
    if factor < 1:
        message = f"factor={factor!r} would shorten the waits; expected 1 or more"
        raise ValueError(message)
    shortest = durations.read(min_timeout, "min_timeout")
    longest = durations.read(max_timeout, "max_timeout")
    if longest < shortest:
        message = f"max_timeout={max_timeout!r} is shorter than min_timeout={min_timeout!r}; expected at least that"
        raise ValueError(message)
    one_ms = datetime.timedelta(milliseconds=1)
    return RetryPolicy(
        max_attempts=max_attempts,
        factor=factor,
        min_timeout_ms=shortest // one_ms,
        max_timeout_ms=longest // one_ms,
        randomize=randomize,
        out_of_memory_machine=out_of_memory_machine,
    )
