"""Tasks that are on their way when a worker or a server goes."""

from typing import Any

from oncue import Context, item, task
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
