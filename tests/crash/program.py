"""Tasks for a stack in which everything is killed: families of runs, and a queue that takes two at once."""

from typing import Any

from oncue import Context, item, queue, step, task, wait
from tests.e2e.programs import gates

NARROW = queue("crash-narrow", concurrency_limit=2)


@task(id="crash-leaf", queue=NARROW)
async def leaf(payload: list[Any], ctx: Context) -> int:
    """Note that it ran, in a queue of two."""
    ledger, number = payload
    gates.note(ledger, f"leaf {ctx.run.id}")
    return int(number)


@task(id="crash-plain-leaf")
def plain_leaf(payload: list[Any], ctx: Context) -> int:
    ledger, number = payload
    gates.note(ledger, f"leaf {ctx.run.id}")
    return int(number)


@task(id="crash-parent")
async def parent(payload: list[Any], ctx: Context) -> int:
    """Four children in three calls, a nap and a step; returns the sum of what the children return."""
    ledger, _ = payload
    first = await leaf.trigger_and_wait([ledger, 1]).unwrap()
    await wait.for_(seconds=0.1)
    both = await leaf.batch_trigger_and_wait([item([ledger, 10]), item([ledger, 100])])
    await step("note", lambda: gates.note(ledger, f"step {ctx.run.id}"))
    last = await plain_leaf.trigger_and_wait([ledger, 1_000]).unwrap()
    return int(first + sum(run.unwrap() for run in both.runs) + last)


@task(id="crash-plain-parent")
def plain_parent(payload: list[Any], ctx: Context) -> int:
    ledger, _ = payload
    first = leaf.sync.trigger_and_wait([ledger, 1]).unwrap()
    wait.sync.for_(seconds=0.1)
    both = leaf.sync.batch_trigger_and_wait([item([ledger, 10]), item([ledger, 100])])
    last = plain_leaf.sync.trigger_and_wait([ledger, 1_000]).unwrap()
    return int(first + sum(run.unwrap() for run in both.runs) + last)


@task(id="crash-gate", queue=queue("crash-gate", concurrency_limit=5))
async def gate(payload: list[Any], ctx: Context) -> int:
    """Note that it ran, once the gate is open."""
    ledger, gate, number = payload
    await gates.opened(gate)
    gates.note(ledger, f"gate {ctx.run.id}")
    return int(number)


@task(id="crash-gated-parent")
async def gated_parent(payload: list[Any]) -> int:
    return await gate.trigger_and_wait(payload).unwrap()
