"""Tasks that wait for several things at once, or deep inside each other."""

import asyncio
from typing import Any

from oncue import Context, SubtaskUnwrapError, item, queue, task
from tests.e2e.programs import gates
from tests.e2e.programs.children import double, refuse_odd

NARROW = queue("narrow", concurrency_limit=1)
NARROW_PLAIN = queue("narrow-plain", concurrency_limit=1)
KEYED = queue("keyed", concurrency_limit=1)


@task
async def gathers(payload: int) -> list[Any]:
    results = await asyncio.gather(*(double.trigger_and_wait(number) for number in range(payload)))
    return [result.unwrap() for result in results]


@task
async def gathers_batches(payload: int) -> list[Any]:
    one, some, more = await asyncio.gather(
        double.trigger_and_wait(payload),
        double.batch_trigger_and_wait([item(1), item(2)]),
        refuse_odd.batch_trigger_and_wait([item(3), item(4)]),
    )
    return [one.unwrap(), [run.unwrap() for run in some.runs], [run.ok for run in more.runs]]


@task
async def groups(payload: int) -> list[int]:
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(double.trigger_and_wait(number).unwrap()) for number in range(payload)]
    return [wait.result() for wait in waits]


@task
async def group_with_a_failure(payload: int) -> list[str]:
    raised: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse_odd.trigger_and_wait(payload).unwrap())
            group.create_task(held.trigger_and_wait("/nonexistent/gate").unwrap())
    except* SubtaskUnwrapError as errors:
        raised = [type(error).__name__ for error in errors.exceptions]
    return raised


@task
async def held(payload: str) -> str:
    await gates.opened(payload)
    return "held"


@task
async def takes_the_first(payload: str) -> dict[str, Any]:
    """Return with one wait outstanding: its child goes on."""
    slow = asyncio.ensure_future(held.trigger_and_wait(payload))
    quick = asyncio.ensure_future(double.trigger_and_wait(21))
    done, pending = await asyncio.wait((slow, quick), return_when=asyncio.FIRST_COMPLETED)
    return {"output": done.pop().result().unwrap(), "pending": len(pending)}


@task
async def waits_for_held(payload: str) -> str:
    return await held.trigger_and_wait(payload).unwrap()


@task
async def works_between_waits(payload: str) -> list[Any]:
    """After the first of two results, wait for a third thing before the second is there."""
    slow = asyncio.ensure_future(held.trigger_and_wait(payload))
    first = await double.trigger_and_wait(1).unwrap()
    second = await double.trigger_and_wait(first).unwrap()
    gates.note(payload, "")
    return [first, second, (await slow).unwrap()]


@task(queue=NARROW)
async def nested(payload: int) -> int:
    return 0 if payload == 0 else 1 + await nested.trigger_and_wait(payload - 1).unwrap()


@task(queue=NARROW_PLAIN)
def nested_plain(payload: int) -> int:
    return 0 if payload == 0 else 1 + nested_plain.sync.trigger_and_wait(payload - 1).unwrap()


@task(queue=NARROW)
async def narrow_parent(payload: int) -> list[int]:
    results = await narrow_child.batch_trigger_and_wait([item(number) for number in range(payload)])
    return [run.unwrap() for run in results.runs]


@task(queue=NARROW)
async def narrow_child(payload: int) -> int:
    return payload


@task(queue=KEYED)
async def keyed_parent(payload: int, ctx: Context) -> list[Any]:
    key = ctx.run.concurrency_key
    seen = await keyed_child.trigger_and_wait(payload, concurrency_key=key).unwrap()
    return [key, *seen]


@task(queue=KEYED)
async def keyed_child(payload: int, ctx: Context) -> list[Any]:
    return [ctx.run.concurrency_key, payload]


@task
async def one_after_another(payload: int) -> int:
    total = 0
    for number in range(payload):
        total += await double.trigger_and_wait(number).unwrap()
    return total
