"""Tasks that say of their run how far they are."""

from typing import Any

from oncue import Context, Retry, item, metadata, tags, task
from tests.e2e.programs import gates


@task
async def async_progress(payload: str) -> Any:
    """Say something before a gate and after it."""
    metadata.set("stage", "before")
    metadata.increment("$.steps.done")
    await gates.opened(payload)
    metadata.append("log", "after")
    metadata.set("stage", "done")
    return metadata.current()


@task
def sync_progress(payload: str) -> Any:
    metadata.set("stage", "before")
    metadata.increment("$.steps.done")
    gates.opened_blocking(payload)
    metadata.append("log", "after")
    metadata.set("stage", "done")
    return metadata.current()


@task
async def page(payload: int, ctx: Context) -> int:
    metadata.set("number", payload)
    metadata.parent.increment("pages_done")
    metadata.root.append("log", payload)
    return payload


@task
def page_plain(payload: int) -> int:
    metadata.set("number", payload)
    metadata.parent.increment("pages_done")
    metadata.root.append("log", payload)
    return payload


@task
async def chapter(payload: list[int]) -> Any:
    metadata.set("kind", "chapter")
    await page.batch_trigger_and_wait([item(number) for number in payload])
    await page_plain.batch_trigger_and_wait([item(number) for number in payload])
    await metadata.refresh()
    return metadata.current()


@task
async def book(payload: list[int]) -> Any:
    metadata.set("kind", "book")
    of_chapter = await chapter.trigger_and_wait(payload).unwrap()
    await metadata.refresh()
    return [of_chapter, metadata.current()]


@task(retry=Retry(max_attempts=2, min_timeout=0.05, randomize=False))
async def tells_and_fails(payload: str, ctx: Context) -> Any:
    """Fail the first attempt; return what the second one finds."""
    metadata.append("attempts", ctx.attempt.number)
    if ctx.attempt.number == 1:
        raise ValueError("again")
    return [metadata.current(), ctx.run.metadata]


@task
async def async_tags(payload: list[str]) -> None:
    await tags.add(payload)
    await tags.add("last")


@task
def sync_tags(payload: list[str]) -> None:
    tags.sync.add(payload)
    tags.sync.add("last")
