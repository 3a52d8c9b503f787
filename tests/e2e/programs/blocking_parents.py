"""The tasks of ``parents``, as plain functions: the same calls with ``.sync``."""

from collections.abc import Iterator
from typing import Any

from oncue import Context, Failed, Ok, SubtaskUnwrapError, batch, item, runs, task, tasks
from tests.e2e.programs.children import Order, describe, double, forever, nothing, price, refuse_odd, shout


@task
def sync_trigger(payload: int) -> dict[str, Any]:
    handle = double.sync.trigger(payload)
    first = runs.sync.retrieve(handle)
    last = runs.sync.poll(handle, interval=0.02, timeout=20)
    return {"handle": handle.to_dict(), "retrieved": first.id, "status": last.status, "output": last.output}


@task
def sync_tasks_trigger(payload: str) -> list[Any]:
    one = tasks.sync.trigger("shout", payload)
    many = tasks.sync.batch_trigger("shout", [item(payload), {"payload": f"{payload}!"}])
    mixed = batch.sync.trigger([item("shout", payload), {"id": "double", "payload": 4}])
    return [handle.sync.result(20).unwrap() for handle in (one, *many.runs, *mixed.runs)]


@task
def sync_batch_trigger(payload: list[int], ctx: Context) -> dict[str, Any]:
    handle = double.sync.batch_trigger([item(number) for number in payload], tags=ctx.run.id)
    outputs = [run.sync.result(20).unwrap() for run in handle.runs]
    view = batch.sync.retrieve(handle.id)
    listed = [run.id for run in runs.sync.list(batch=handle, tag=ctx.run.id)]
    return {
        "outputs": outputs,
        "run_count": handle.run_count,
        "status": view.status,
        "in_order": view.runs == [run.id for run in handle.runs],
        "listed": sorted(listed) == sorted(view.runs),
    }


@task
def sync_trigger_and_wait(payload: int) -> dict[str, Any]:
    match refuse_odd.sync.trigger_and_wait(payload):
        case Ok(id=run_id, task_identifier=task_id, output=output):
            return {"id": run_id, "task": task_id, "output": output}
        case Failed(id=run_id, task_identifier=task_id, error=error):
            return {"id": run_id, "task": task_id, "error": [error.name, error.message]}


@task
def sync_unwrap(payload: int) -> dict[str, Any]:
    try:
        return {"output": refuse_odd.sync.trigger_and_wait(payload).unwrap()}
    except SubtaskUnwrapError as error:
        return {"run_id": error.run_id, "task_id": error.task_id, "cause": str(error.cause)}


@task
def sync_typed_output(payload: Order) -> list[Any]:
    output = price.sync.trigger_and_wait(payload).unwrap()
    empty = nothing.sync.trigger_and_wait()
    return [type(output).__name__, output.customer, output.amount, empty.ok, empty.output if empty.ok else 0]


@task
def sync_tasks_wait(payload: int) -> list[Any]:
    one = tasks.sync.trigger_and_wait("double", payload)
    many = tasks.sync.batch_trigger_and_wait("refuse-odd", [item(payload), item(payload + 1)])
    return [one.ok, one.unwrap(), *(run.ok for run in many.runs)]


@task
def sync_batch_wait(payload: list[int]) -> list[Any]:
    results = refuse_odd.sync.batch_trigger_and_wait([item(number) for number in payload])
    return [run.output if run.ok else run.error.message for run in results.runs]


@task
def sync_mixed_batch_wait(payload: int) -> list[Any]:
    results = batch.sync.trigger_and_wait([item("double", payload), item("shout", "a"), item("refuse-odd", 1)])
    return [[run.task_identifier, run.output if run.ok else None] for run in results.runs]


@task
def sync_by_task(payload: int) -> list[Any]:
    handle = batch.sync.trigger_by_task((double.item(payload), shout.item("b")))
    number, text = handle.runs
    return [number.sync.result(20).unwrap(), text.sync.result(20).unwrap()]


@task
def sync_by_task_wait(payload: int) -> list[Any]:
    results = batch.sync.trigger_by_task_and_wait((price.item(Order("Ann", payload)), shout.item("c")))
    order, text = results.runs
    return [order.unwrap().amount, text.unwrap()]


@task
def sync_item_forms(payload: int) -> list[Any]:
    results = batch.sync.trigger_and_wait(
        [
            item("double", payload),
            double.item(payload + 1),
            {"id": "double", "payload": payload + 2},
            {"task": double, "payload": payload + 3, "options": {"tags": ["x"]}},
        ]
    )
    return [run.unwrap() for run in results.runs]


@task
def sync_streams(payload: int) -> list[Any]:
    def numbers() -> Iterator[Any]:
        for number in range(payload):
            yield item(number)

    streamed = double.sync.batch_trigger_and_wait(numbers())
    generated = double.sync.batch_trigger_and_wait(item(number) for number in range(payload))
    handle = double.sync.batch_trigger(numbers())
    later = [run.sync.result(20).unwrap() for run in handle.runs]
    return [[run.unwrap() for run in streamed.runs], [run.unwrap() for run in generated.runs], later]


@task
def sync_cancel(payload: str) -> dict[str, Any]:
    handle = forever.sync.trigger(tags=payload)
    runs.sync.cancel(handle)
    run = runs.sync.poll(handle, interval=0.02, timeout=20)
    listed = [found.id for found in runs.sync.list(tag=payload, status="CANCELED", limit=5)]
    return {"status": run.status, "is_cancelled": run.is_cancelled, "listed": listed == [handle.id]}


@task
def sync_lineage(payload: str) -> list[Any]:
    plain = describe.sync.trigger(payload)
    waited = describe.sync.trigger_and_wait(payload).unwrap()
    many = describe.sync.batch_trigger_and_wait([item(payload), item(payload)])
    return [plain.sync.result(20).unwrap(), waited, *(run.unwrap() for run in many.runs)]
