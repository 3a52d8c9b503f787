"""Runs are sent values while they go on, and read them."""

import asyncio
import datetime
from typing import Any

import pytest

from oncue import runs, streams, tasks
from oncue.protocol.errors import BadRequest, NotFound, OutsideTaskError, PayloadTooLarge
from tests.e2e.conftest import Run
from tests.fixtures.stack import LONG_S, Program, Stack


@pytest.mark.parametrize("task_id", ["listens", "listens-blocking", "listens-isolated"])
async def test_run_hears_words_as_they_are_said(run: Run, task_id: str) -> None:
    handle = await tasks.trigger(task_id)
    said: list[Any] = ["hello", {"and": ["more", None]}, 3]

    async with asyncio.timeout(LONG_S):
        await streams.send(handle, "words", said[0])
        repeated: list[Any] = []
        async for answer in streams.read(handle, "words"):
            repeated.append(answer["heard"])
            # Each word is said once the one before has come back.
            following = said[len(repeated)] if len(repeated) < len(said) else "bye"
            await streams.send(handle, "words", following)

    assert repeated == said
    assert (await handle.result(LONG_S)).unwrap() == said


async def test_words_from_before_the_run_began_are_heard(run: Run) -> None:
    handle = await tasks.trigger("listens", delay=datetime.timedelta(hours=1))
    for word in ("early", "bird", "bye"):
        await streams.send(handle.id, "words", word)

    await runs.reschedule(handle.id, delay=datetime.timedelta(seconds=1))

    assert (await handle.result(LONG_S)).unwrap() == ["early", "bird"]


async def test_attempt_hears_everything_from_the_start(run: Run) -> None:
    handle = await tasks.trigger("listens-twice")

    await streams.send(handle, "words", "first")
    await streams.send(handle, "words", "second")

    assert (await handle.result(LONG_S)).unwrap() == ["first", "second"]


async def test_task_sends_words_to_another_run(run: Run) -> None:
    handle = await tasks.trigger("listens")

    await run("talks", handle.id)

    assert (await handle.result(LONG_S)).unwrap() == ["from", "a", "task"]


def test_thread_sends_words_to_a_run(backend: Stack, everyday_worker: Program) -> None:
    handle = tasks.sync.trigger("listens-blocking")

    for word in ("one", "two", "bye"):
        streams.sync.send(handle, "words", word)

    assert handle.sync.result(LONG_S).unwrap() == ["one", "two"]


async def test_run_that_listens_can_be_cancelled(run: Run) -> None:
    for task_id in ("listens", "listens-blocking"):
        handle = await tasks.trigger(task_id)
        await streams.send(handle, "words", "hello")
        async with asyncio.timeout(LONG_S):
            assert [value async for value in first_of(handle)] == [{"heard": "hello"}]

        await runs.cancel(handle)

        assert (await handle.retrieve()).status == "CANCELED"
    # The worker has its places back.
    assert await run("many-words", 1) == 1


async def first_of(handle: Any) -> Any:
    async for value in streams.read(handle, "words"):
        yield value
        return


async def test_run_that_has_ended_takes_no_words(run: Run) -> None:
    handle = await tasks.trigger("many-words", 1)
    await handle.result(LONG_S)

    with pytest.raises(BadRequest, match="has ended"):
        await streams.send(handle, "words", "too late")


async def test_words_that_cannot_be_sent_raise(backend: Stack) -> None:
    handle = await tasks.trigger("listens", delay=datetime.timedelta(hours=1))

    with pytest.raises(PayloadTooLarge):
        await streams.send(handle, "words", "x" * 1024 * 1024)
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        await streams.send(handle, "words", object())
    with pytest.raises(ValueError, match="key="):
        await streams.send(handle, "", 1)
    with pytest.raises(NotFound):
        await streams.send("run_" + "0" * 25 + "1", "words", 1)


def test_only_a_run_receives_words() -> None:
    with pytest.raises(OutsideTaskError, match=r"streams\.send"):
        streams.received("words")
    with pytest.raises(OutsideTaskError, match=r"streams\.send"):
        streams.sync.received("words")
