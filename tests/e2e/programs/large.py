"""Tasks with payloads and outputs that are too large for a row."""

from typing import Any

from oncue import item, task


@task(id="measures")
async def measures(payload: dict[str, Any]) -> int:
    return len(payload["text"])


@task(id="measures-plain")
def measures_plain(payload: dict[str, Any]) -> int:
    return len(payload["text"])


@task(id="measures-apart", isolate=True)
async def measures_apart(payload: dict[str, Any]) -> int:
    return len(payload["text"])


@task(id="measures-apart-plain", isolate=True)
def measures_apart_plain(payload: dict[str, Any]) -> int:
    return len(payload["text"])


@task(id="writes")
async def writes(size: int) -> str:
    return "x" * size


@task(id="writes-plain")
def writes_plain(size: int) -> str:
    return "x" * size


@task(id="writes-apart", isolate=True)
async def writes_apart(size: int) -> str:
    return "x" * size


@task(id="writes-apart-plain", isolate=True)
def writes_apart_plain(size: int) -> str:
    return "x" * size


@task(id="passes-large-texts-on")
async def passes_on(size: int) -> list[int]:
    one = await writes.trigger_and_wait(size)
    several = await writes.batch_trigger_and_wait([item(size + number) for number in range(3)])
    texts = [one.unwrap(), *(each.unwrap() for each in several.runs)]
    measured = await measures.batch_trigger_and_wait([item({"text": text}) for text in texts])
    return [each.unwrap() for each in measured.runs]


@task(id="passes-large-texts-on-plain")
def passes_on_plain(size: int) -> list[int]:
    texts = [each.unwrap() for each in writes.sync.batch_trigger_and_wait([item(size), item(size + 1)]).runs]
    measured = measures.sync.batch_trigger_and_wait([item({"text": text}) for text in texts])
    return [each.unwrap() for each in measured.runs]
