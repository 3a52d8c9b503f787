"""Tasks that show what the options of a trigger do."""

from oncue import Context, queue, task
from tests.e2e.programs import gates


@task(queue=queue("two-at-once", concurrency_limit=2))
async def counted(payload: list[str], ctx: Context) -> None:
    """Note beginning and end in a ledger, and stay until a gate is open."""
    ledger, gate = payload
    gates.note(ledger, f"+ {ctx.run.concurrency_key}")
    await gates.opened(gate)
    gates.note(ledger, f"- {ctx.run.concurrency_key}")


@task(queue=queue("two-plain-at-once", concurrency_limit=2))
def counted_plain(payload: list[str], ctx: Context) -> None:
    ledger, gate = payload
    gates.note(ledger, f"+ {ctx.run.concurrency_key}")
    gates.opened_blocking(gate)
    gates.note(ledger, f"- {ctx.run.concurrency_key}")


@task(queue=queue("one-by-one", concurrency_limit=1))
async def in_turn(payload: list[str]) -> None:
    """Note a name, once a gate is open."""
    ledger, gate, name = payload
    await gates.opened(gate)
    gates.note(ledger, name)


@task(max_duration=0.2)
async def too_long() -> None:
    await gates.opened("/nonexistent/gate")


@task(max_duration="1h")
async def limited(payload: None, ctx: Context) -> float:
    """Return the limit in seconds."""
    assert ctx.run.max_duration is not None
    return ctx.run.max_duration.total_seconds()
