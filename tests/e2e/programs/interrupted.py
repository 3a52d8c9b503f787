"""Tasks that are on their way when a worker or a server goes."""

from typing import Any

from oncue import Context, item, step, task
from tests.e2e.programs import gates


@task
async def gated(payload: list[str], ctx: Context) -> str:
    """Note each start with the worker's id; return it once the gate is open."""
    ledger, gate = payload
    gates.note(ledger, ctx.worker.id)
    await gates.opened(gate)
    return ctx.worker.id


@task
def gated_plain(payload: list[str], ctx: Context) -> str:
    ledger, gate = payload
    gates.note(ledger, ctx.worker.id)
    gates.opened_blocking(gate)
    return ctx.worker.id


@task
async def parent(payload: list[str]) -> list[Any]:
    """Wait for a child, then for a batch."""
    one = await gated.trigger_and_wait(payload).unwrap()
    more = await gated.batch_trigger_and_wait([item(payload), item(payload)])
    return [one, *(run.unwrap() for run in more.runs)]


@task
def parent_plain(payload: list[str]) -> str:
    return gated_plain.sync.trigger_and_wait(payload).unwrap()


@task
async def waits_for_tomorrow(payload: None, ctx: Context) -> None:
    """Stay parked."""
    await gated.trigger_and_wait(["/nonexistent/ledger", "/nonexistent/gate"], delay="1d")


@task
async def where(payload: None, ctx: Context) -> str:
    return ctx.worker.id


@task
async def counted_child(payload: list[str]) -> int:
    """Note that it ran."""
    ledger, name = payload
    gates.note(ledger, f"child {name}")
    return int(name)


@task(id="remembering")
async def remembering(payload: list[str], ctx: Context) -> list[int]:
    """Trigger, wait, wait for a batch; then stay until the gate is open, and wait once more."""
    ledger, gate = payload
    handle = await counted_child.trigger([ledger, "1"])
    two = await counted_child.trigger_and_wait([ledger, "2"]).unwrap()
    more = await counted_child.batch_trigger_and_wait([item([ledger, "3"]), item([ledger, "4"])])
    keyed = await counted_child.trigger_and_wait([ledger, "5"], idempotency_key="five").unwrap()
    gates.note(ledger, f"parent {ctx.worker.id} {handle.id}")
    await gates.opened(gate)
    six = await counted_child.trigger_and_wait([ledger, "6"]).unwrap()
    return [two, *(run.unwrap() for run in more.runs), keyed, six]


@task(id="remembering-plain")
def remembering_plain(payload: list[str], ctx: Context) -> list[int]:
    ledger, gate = payload
    handle = counted_child.sync.trigger([ledger, "1"])
    two = counted_child.sync.trigger_and_wait([ledger, "2"]).unwrap()
    more = counted_child.sync.batch_trigger_and_wait([item([ledger, "3"]), item([ledger, "4"])])
    keyed = counted_child.sync.trigger_and_wait([ledger, "5"], idempotency_key="five").unwrap()
    gates.note(ledger, f"parent {ctx.worker.id} {handle.id}")
    gates.opened_blocking(gate)
    six = counted_child.sync.trigger_and_wait([ledger, "6"]).unwrap()
    return [two, *(run.unwrap() for run in more.runs), keyed, six]


@task(id="forgetful", strict=True)
async def forgetful(payload: list[str], ctx: Context) -> None:
    """Call with a payload that is another one on each worker."""
    ledger, gate = payload
    await gated.trigger([ledger, ctx.worker.id])
    gates.note(ledger, f"parent {ctx.worker.id}")
    await gates.opened(gate)


@task(id="forgiving")
async def forgiving(payload: list[str], ctx: Context) -> str:
    ledger, gate = payload
    handle = await gated.trigger([ledger, ctx.worker.id])
    gates.note(ledger, f"parent {ctx.worker.id}")
    await gates.opened(gate)
    return handle.id


def noted(ledger: str, line: str, result: Any) -> Any:
    gates.note(ledger, line)
    return result


@task(id="stepping")
async def stepping(payload: list[str], ctx: Context) -> list[Any]:
    """Take two steps of one name, and stay until the gate is open."""
    ledger, gate = payload

    async def second() -> dict[str, int]:
        gates.note(ledger, "second step")
        return {"n": 2}

    one = await step("note", lambda: gates.note(ledger, "first step"))
    two = await step("note", second)
    gates.note(ledger, f"parent {ctx.worker.id}")
    await gates.opened(gate)
    three = await step("last", lambda: noted(ledger, "last step", 3), returns=int)
    return [one, two, three]


@task(id="stepping-plain")
def stepping_plain(payload: list[str], ctx: Context) -> list[Any]:
    ledger, gate = payload
    one = step.sync("note", lambda: gates.note(ledger, "first step"))
    two = step.sync("note", lambda: noted(ledger, "second step", {"n": 2}))
    gates.note(ledger, f"parent {ctx.worker.id}")
    gates.opened_blocking(gate)
    three = step.sync("last", lambda: noted(ledger, "last step", 3), returns=int)
    return [one, two, three]
