"""Tasks that official clients trigger."""

import asyncio
import os
from typing import Any

from oncue import Context, metadata, streams, task, wait


@task(id="email-sequence")
async def email_sequence(payload: dict[str, Any]) -> str:
    return f"to {payload['to']}, dear {payload['name']}"


@task(id="my-task")
async def my_task(payload: Any) -> Any:
    return payload


@task(id="my-task-1")
async def my_task_1(payload: dict[str, Any]) -> str:
    return f"some {payload['some']}"


@task(id="my-task-2")
async def my_task_2(payload: dict[str, Any]) -> str:
    return f"other {payload['other']}"


@task(id="folder/my task")
async def in_a_folder(payload: Any) -> Any:
    return {"id": "folder/my task", "payload": payload}


@task(id="fails")
async def fails(payload: str) -> None:
    raise ValueError(payload)


@task(id="tells-types")
async def tells_types(payload: Any) -> dict[str, str]:
    return {name: f"{type(value).__name__} {value!r}" for name, value in payload.items()}


@task(id="tells-of-itself")
async def tells_of_itself(payload: Any, ctx: Context) -> dict[str, Any]:
    """Return what the worker was told of the run."""
    limit = ctx.run.max_duration
    return {
        "queue": ctx.queue.name,
        "concurrencyKey": ctx.run.concurrency_key,
        "maxAttempts": ctx.run.max_attempts,
        "maxDuration": None if limit is None else limit.total_seconds(),
        "tags": list(ctx.run.tags),
        "metadata": ctx.run.metadata,
        "priority": ctx.run.priority,
        "batchIndex": ctx.run.batch_index,
    }


@task(id="measures")
async def measures(payload: dict[str, str]) -> int:
    return len(payload["text"])


@task(id="measures-text")
async def measures_text(payload: str) -> int:
    return len(payload)


@task(id="writes")
async def writes(length: int) -> str:
    return "x" * length


@task(id="reports-progress")
async def reports_progress(payload: None) -> None:
    metadata.set("progress", 1)


@task(id="tells-type")
async def tells_type(payload: Any) -> str:
    return f"{type(payload).__name__} {payload!r}"


@task(id="tells-of-large")
async def tells_of_large(payload: dict[str, Any]) -> list[Any]:
    return [len(payload["text"]), repr(payload["at"])]


@task(id="waits-for")
async def waits_for(token: str) -> Any:
    return (await wait.for_token(token)).unwrap()


@task(id="asks-children")
async def asks_children(number: int) -> list[Any]:
    one = (await my_task.trigger_and_wait(number)).unwrap()
    several = await my_task.batch_trigger_and_wait([my_task.item(number), my_task.item(number + 1)])
    return [one, [run.unwrap() for run in several.runs]]


@task(id="takes-too-long", max_duration=0.2)
async def takes_too_long(payload: None) -> None:
    while True:
        await asyncio.sleep(0.01)


@task(id="dies", isolate=True)
async def dies(payload: None) -> None:
    os._exit(7)


@task(id="stays-until-cancelled")
async def stays(payload: None) -> None:
    while True:
        await asyncio.sleep(0.01)


@task(id="hears-words")
async def hears_words(payload: None) -> list[Any]:
    heard: list[Any] = []
    async for word in streams.received("words"):
        if word == "bye":
            break
        heard.append(word)
    return heard
