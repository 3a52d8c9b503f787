"""Figures: what a measurement found.

A machine's speed changes from minute to minute, so a figure names another one of the same run that it is to be
compared with; the ratio of the two is what can be carried to another day.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

Unit: TypeAlias = Literal["runs/s", "ms", "s", "MB", "CPU ms/run"]


class Promise(msgspec.Struct, frozen=True):
    """What oncue says it does on two cores."""

    limit: float
    at_least: bool = True
    """False: at most."""

    def kept_by(self, value: float) -> bool:
        """Whether a value keeps it."""
        return value >= self.limit if self.at_least else value <= self.limit


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure."""

    name: str
    """Measurement and figure, as ``latency.start``; other figures name it so."""
    meaning: str
    unit: Unit
    value: float
    """Median over rounds for rates, over calls for times."""
    p90: float | None = None
    p99: float | None = None
    largest: float | None = None
    count: int = 1
    """Rounds or calls."""
    rounds: tuple[float, ...] = ()
    against: str | None = None
    """Name of the figure of the same run that this one is compared with."""
    promise: Promise | None = None


def rate(
    name: str, meaning: str, rounds: Sequence[float], *, against: str | None = None, promise: Promise | None = None
) -> Figure:
    """Make a figure of rates, one for each round, in runs a second."""
    return Figure(
        name=name,
        meaning=meaning,
        unit="runs/s",
        value=statistics.median(rounds),
        count=len(rounds),
        rounds=tuple(rounds),
        against=against,
        promise=promise,
    )


def spread(
    name: str, meaning: str, seconds: Sequence[float], *, against: str | None = None, promise: Promise | None = None
) -> Figure:
    """Make a figure of times.

    Args:
        seconds: One for each call; shown in milliseconds.
    """
    ms = sorted(1000 * each for each in seconds)
    return Figure(
        name=name,
        meaning=meaning,
        unit="ms",
        value=percentile(ms, 50),
        p90=percentile(ms, 90),
        p99=percentile(ms, 99),
        largest=ms[-1],
        count=len(ms),
        against=against,
        promise=promise,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed.

    Args:
        ordered: In rising order, not empty.
        percent: Above 0, at most 100.
    """
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]
