"""Measuring: what every measurement is given, and how runs are triggered in bulk."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import oncue
from bench.scale import Scale
from bench.stack import Postgres

BATCH = 1_000


class Bench(NamedTuple):
    """What a measurement is given."""

    postgres: Postgres
    scale: Scale
    say: Callable[[str], None]
    """Shows what is being done now."""


async def enqueue(
    task: oncue.Task[int, None], runs: int, *, key_of: Callable[[int], str] | None = None, callers: int = 1
) -> list[float]:
    """Trigger runs in batches of 1,000.

    Args:
        task: Takes a number.
        runs: How many.
        key_of: Gives each number its concurrency key.
        callers: Batches under way at once.

    Returns:
        How long each call took, in seconds.
    """
    groups = _groups(runs, key_of)
    seconds: list[float] = []

    async def call() -> None:
        for items in groups:
            began = time.perf_counter()
            await task.batch_trigger(items)
            seconds.append(time.perf_counter() - began)

    await asyncio.gather(*(call() for _ in range(callers)))
    return seconds


def _groups(runs: int, key_of: Callable[[int], str] | None) -> Iterator[Sequence[oncue.Item[int, Any]]]:
    numbers = iter(range(runs))
    while group := list(itertools.islice(numbers, BATCH)):
        if key_of is None:
            yield [oncue.item(number) for number in group]
        else:
            yield [oncue.item(number, concurrency_key=key_of(number)) for number in group]
