"""Tasks that trigger streams of others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from oncue import batch, item, task
from tests.e2e.programs.children import double


def _numbers(count: int) -> Iterator[int]:
    yield from range(count)


async def _slowly(count: int) -> AsyncIterator[int]:
    for number in range(count):
        if number % 700 == 0:
            await asyncio.sleep(0.01)
        yield number


async def _broken(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
    raise LookupError("the source is gone")


@task
async def doubles_a_stream(count: int) -> list[int]:
    results = await double.batch_trigger_and_wait(double.item(number) async for number in _slowly(count))
    return [run.unwrap() for run in results.runs]


@task
def doubles_a_stream_plain(count: int) -> list[int]:
    results = double.sync.batch_trigger_and_wait(double.item(number) for number in _numbers(count))
    return [run.unwrap() for run in results.runs]


@task
async def doubles_a_broken_stream(count: int) -> str:
    try:
        await double.batch_trigger_and_wait(double.item(number) async for number in _broken(count))
    except LookupError as error:
        return f"{error}, and then {(await double.trigger_and_wait(4)).unwrap()}"
    return "nothing was raised"


@task
async def mixes_a_stream(count: int) -> int:
    items = (item("double" if number % 2 else "mixed-in", number) for number in _numbers(count))
    results = await batch.trigger_and_wait(items)
    return sum(run.unwrap() for run in results.runs)


@task
async def mixed_in(number: int) -> int:
    return -number


@task
async def notes_start(file: str) -> None:
    Path(file).touch()
