"""Streams of items make one batch, sent as they come."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from oncue import BatchTriggerError, item, tasks
from tests.e2e.conftest import Run
from tests.fixtures.stack import LONG_S, Program, Stack, eventually


async def numbers(count: int) -> AsyncIterator[Any]:
    for number in range(count):
        yield item(number)


async def test_stream_makes_one_batch_whose_runs_are_in_order(run: Run) -> None:
    handle = await tasks.batch_trigger("double", numbers(2_500))

    assert (handle.run_count, len(handle.runs)) == (2_500, 2_500)
    for index in (0, 999, 1_000, 2_499, -1):
        result = await handle.runs[index].result(LONG_S)
        assert result.unwrap() == 2 * (index if index >= 0 else 2_499)
    view = await handle.retrieve()
    assert (view.run_count, len(view.runs), view.runs[7]) == (2_500, 1_000, handle.runs[7].id)
    assert len({each.id for each in handle.runs}) == 2_500
    assert [each.id for each in handle.runs[2_498:]] == [handle.runs[2_498].id, handle.runs[2_499].id]


async def test_stream_that_ends_at_once_is_an_ordinary_batch(run: Run) -> None:
    handle = await tasks.batch_trigger("double", numbers(3))

    assert isinstance(handle.runs, tuple)
    assert [(await each.result(LONG_S)).unwrap() for each in handle.runs] == [0, 2, 4]


@pytest.mark.parametrize("task_id", ["doubles-a-stream", "doubles-a-stream-plain"])
async def test_run_waits_for_a_stream_and_has_its_results_in_order(run: Run, task_id: str) -> None:
    assert await run(task_id, 2_300) == [2 * number for number in range(2_300)]


async def test_items_of_a_stream_may_name_tasks(run: Run) -> None:
    assert await run("mixes-a-stream", 1_200) == sum(2 * n if n % 2 else -n for n in range(1_200))


async def test_stream_that_raises_gives_its_batch_up(run: Run) -> None:
    assert await run("doubles-a-broken-stream", 1_500) == "the source is gone, and then 8"


async def test_runs_start_before_their_stream_has_ended(run: Run, tmp_path: Path) -> None:
    first, go_on = tmp_path / "first", asyncio.Event()

    async def slow() -> AsyncIterator[Any]:
        yield item(str(first))
        await go_on.wait()
        yield item(str(tmp_path / "second"))

    triggering = asyncio.ensure_future(tasks.batch_trigger("notes-start", slow()))
    await eventually(first.exists, "the first run has started")
    assert not triggering.done()
    go_on.set()
    handle = await triggering
    assert handle.run_count == 2
    await eventually((tmp_path / "second").exists, "the second run has started")


async def test_item_that_cannot_be_sent_names_its_place(run: Run) -> None:
    async def items() -> AsyncIterator[Any]:
        for number in range(1_500):
            yield item(object() if number == 1_234 else number)

    with pytest.raises(Exception, match=r"items\[1234\]"):
        await tasks.batch_trigger("double", items())


def test_blocking_functions_stream_iterators(backend: Stack, everyday_worker: Program) -> None:
    def items() -> Iterator[Any]:
        for number in range(1_100):
            yield item(number)

    handle = tasks.sync.batch_trigger("double", items())

    assert (handle.run_count, handle.runs[1_099].sync.result(LONG_S).unwrap()) == (1_100, 2_198)


async def test_same_key_stands_for_the_stream_that_was_sent(run: Run) -> None:
    first = await tasks.batch_trigger("double", numbers(1_300), idempotency_key="once")
    second = await tasks.batch_trigger("double", numbers(1_300), idempotency_key="once")

    assert (second.batch_id, second.run_count) == (first.batch_id, 1_300)
    assert [each.id for each in second.runs] == [each.id for each in first.runs]
    with pytest.raises(BatchTriggerError, match="another"):
        await tasks.batch_trigger("double", numbers(3), idempotency_key="once")
