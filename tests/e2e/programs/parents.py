"""Async tasks that use each function that a task may call; each returns what it saw."""

from collections.abc import AsyncIterator
from typing import Any

from oncue import Context, Failed, Ok, SubtaskUnwrapError, batch, item, runs, task, tasks
from tests.e2e.programs.children import Order, describe, double, forever, nothing, price, refuse_odd, shout


@task
async def async_trigger(payload: int) -> dict[str, Any]:
    handle = await double.trigger(payload)
    first = await runs.retrieve(handle)
    last = await runs.poll(handle, interval=0.02, timeout=20)
    return {"handle": handle.to_dict(), "retrieved": first.id, "status": last.status, "output": last.output}


@task
async def async_tasks_trigger(payload: str) -> list[Any]:
    one = await tasks.trigger("shout", payload)
    many = await tasks.batch_trigger("shout", [item(payload), {"payload": f"{payload}!"}])
    mixed = await batch.trigger([item("shout", payload), {"id": "double", "payload": 4}])
    return [(await handle.result(20)).unwrap() for handle in (one, *many.runs, *mixed.runs)]


@task
async def async_batch_trigger(payload: list[int], ctx: Context) -> dict[str, Any]:
    handle = await double.batch_trigger([item(number) for number in payload], tags=ctx.run.id)
    outputs = [(await run.result(20)).unwrap() for run in handle.runs]
    view = await batch.retrieve(handle.id)
    listed = [run.id async for run in runs.list(batch=handle, tag=ctx.run.id)]
    return {
        "outputs": outputs,
        "run_count": handle.run_count,
        "status": view.status,
        "in_order": view.runs == [run.id for run in handle.runs],
        "listed": sorted(listed) == sorted(view.runs),
    }


@task
async def async_trigger_and_wait(payload: int) -> dict[str, Any]:
    match await refuse_odd.trigger_and_wait(payload):
        case Ok(id=run_id, task_identifier=task_id, output=output):
            return {"id": run_id, "task": task_id, "output": output}
        case Failed(id=run_id, task_identifier=task_id, error=error):
            return {"id": run_id, "task": task_id, "error": [error.name, error.message]}


@task
async def async_unwrap(payload: int) -> dict[str, Any]:
    try:
        return {"output": await refuse_odd.trigger_and_wait(payload).unwrap()}
    except SubtaskUnwrapError as error:
        return {"run_id": error.run_id, "task_id": error.task_id, "cause": str(error.cause)}


@task
async def async_typed_output(payload: Order) -> list[Any]:
    output = await price.trigger_and_wait(payload).unwrap()
    empty = await nothing.trigger_and_wait()
    return [type(output).__name__, output.customer, output.amount, empty.ok, empty.output if empty.ok else 0]


@task
async def async_tasks_wait(payload: int) -> list[Any]:
    one = await tasks.trigger_and_wait("double", payload)
    many = await tasks.batch_trigger_and_wait("refuse-odd", [item(payload), item(payload + 1)])
    return [one.ok, one.unwrap(), *(run.ok for run in many.runs)]


@task
async def async_batch_wait(payload: list[int]) -> list[Any]:
    results = await refuse_odd.batch_trigger_and_wait([item(number) for number in payload])
    return [run.output if run.ok else run.error.message for run in results.runs]


@task
async def async_mixed_batch_wait(payload: int) -> list[Any]:
    results = await batch.trigger_and_wait([item("double", payload), item("shout", "a"), item("refuse-odd", 1)])
    return [[run.task_identifier, run.output if run.ok else None] for run in results.runs]


@task
async def async_by_task(payload: int) -> list[Any]:
    handle = await batch.trigger_by_task((double.item(payload), shout.item("b")))
    number, text = handle.runs
    return [(await number.result(20)).unwrap(), (await text.result(20)).unwrap()]


@task
async def async_by_task_wait(payload: int) -> list[Any]:
    results = await batch.trigger_by_task_and_wait((price.item(Order("Ann", payload)), shout.item("c")))
    order, text = results.runs
    return [order.unwrap().amount, text.unwrap()]


@task
async def async_item_forms(payload: int) -> list[Any]:
    results = await batch.trigger_and_wait(
        [
            item("double", payload),
            double.item(payload + 1),
            {"id": "double", "payload": payload + 2},
            {"task": double, "payload": payload + 3, "options": {"tags": ["x"]}},
        ]
    )
    return [run.unwrap() for run in results.runs]


@task
async def async_streams(payload: int) -> list[Any]:
    async def numbers() -> AsyncIterator[Any]:
        for number in range(payload):
            yield item(number)

    streamed = await double.batch_trigger_and_wait(numbers())
    generated = await double.batch_trigger_and_wait(item(number) for number in range(payload))
    handle = await double.batch_trigger(numbers())
    later = [(await run.result(20)).unwrap() for run in handle.runs]
    return [[run.unwrap() for run in streamed.runs], [run.unwrap() for run in generated.runs], later]


@task
async def async_cancel(payload: str) -> dict[str, Any]:
    handle = await forever.trigger(tags=payload)
    await runs.cancel(handle)
    run = await runs.poll(handle, interval=0.02, timeout=20)
    listed = [found.id async for found in runs.list(tag=payload, status="CANCELED", limit=5)]
    return {"status": run.status, "is_cancelled": run.is_cancelled, "listed": listed == [handle.id]}


@task
async def async_lineage(payload: str) -> list[Any]:
    plain = await describe.trigger(payload)
    waited = await describe.trigger_and_wait(payload).unwrap()
    many = await describe.batch_trigger_and_wait([item(payload), item(payload)])
    return [(await plain.result(20)).unwrap(), waited, *(run.unwrap() for run in many.runs)]
