"""Tasks that send streams while they run."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from oncue import metadata, streams, task
from tests.e2e.programs import gates


@task
async def async_words(payload: list[str]) -> int:
    """Send words, one after each gate."""

    async def words() -> AsyncIterator[dict[str, Any]]:
        for number, gate in enumerate(payload):
            await gates.opened(gate)
            yield {"number": number}

    return await streams.pipe("words", words())


@task
def sync_words(payload: list[str]) -> int:
    def words() -> Iterator[dict[str, Any]]:
        for number, gate in enumerate(payload):
            gates.opened_blocking(gate)
            yield {"number": number}

    return streams.sync.pipe("words", words())


@task
async def many_words(payload: int) -> int:
    return await streams.pipe("words", range(payload))


@task
async def appended_words(payload: list[str]) -> None:
    for word in payload:
        await streams.append("words", word)


@task
def sync_appended_words(payload: list[str]) -> None:
    for word in payload:
        streams.sync.append("words", word)


@task
async def broken_words(payload: int) -> int:
    async def words() -> AsyncIterator[int]:
        for number in range(payload):
            yield number
        raise ValueError("no more")

    return await streams.pipe("words", words())


@task
async def unwritable_words(payload: int) -> int:
    return await streams.pipe("words", [*range(payload), object(), "never"])


@task
async def large_words(payload: int) -> int:
    return await streams.pipe("words", [*range(payload), "x" * 600_000, "never"])


@task
async def staged(payload: list[str]) -> str:
    """Go through stages, each behind a gate."""
    for number, gate in enumerate(payload):
        metadata.set("stage", number)
        await metadata.flush()
        await gates.opened(gate)
    return "done"


@task
async def family_words(payload: int) -> list[int]:
    """Have a child and a grandchild write to streams of those above them."""
    await metadata.parent.stream("own", ["without a parent"])
    return [await metadata.stream("own", range(payload)), await child_words.trigger_and_wait(payload).unwrap()]


@task
async def child_words(payload: int) -> int:
    await grandchild_words.trigger_and_wait(payload)
    return await metadata.parent.stream("from below", range(payload))


@task
def grandchild_words(payload: int) -> int:
    streams.sync.append("from below", "from the parent's child", target="parent")
    streams.sync.append("from below", "from the last", target="root")
    metadata.sync.root.stream("from below", ["by its metadata"])
    return metadata.sync.stream("own", range(payload))
