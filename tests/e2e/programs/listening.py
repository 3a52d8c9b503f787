"""Tasks that wait for words from outside while they run."""

from collections.abc import AsyncIterator
from typing import Any

from oncue import Context, streams, task


@task
async def listens(payload: None) -> list[Any]:
    """Return what it was told until somebody said bye; repeats each word as it comes."""
    heard: list[Any] = []
    async for word in streams.received("words"):
        if word == "bye":
            break
        heard.append(word)
        await streams.append("words", {"heard": word})
    return heard


@task
def listens_blocking(payload: None) -> list[Any]:
    heard: list[Any] = []
    for word in streams.sync.received("words"):
        if word == "bye":
            break
        heard.append(word)
        streams.sync.append("words", {"heard": word})
    return heard


@task(isolate=True)
async def listens_isolated(payload: None) -> list[Any]:
    return [word async for word in _until_bye()]


async def _until_bye() -> AsyncIterator[Any]:
    async for word in streams.received("words"):
        if word == "bye":
            return
        await streams.append("words", {"heard": word})
        yield word


@task(retry={"max_attempts": 2, "min_timeout": 0, "max_timeout": 0})
async def listens_twice(payload: None, ctx: Context) -> list[Any]:
    """Fail at the first word, and hear it again."""
    heard: list[Any] = []
    async for word in streams.received("words"):
        if ctx.attempt.number == 1:
            raise ValueError(word)
        heard.append(word)
        if len(heard) == 2:
            break
    return heard


@task
async def talks(payload: str) -> None:
    """Send words to another run."""
    for word in ("from", "a", "task", "bye"):
        await streams.send(payload, "words", word)
