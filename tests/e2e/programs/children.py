"""Tasks that others trigger."""

import asyncio
from dataclasses import dataclass
from typing import Any

from oncue import Context, task


@dataclass
class Order:
    customer: str
    amount: int


@task
async def double(payload: int) -> int:
    return 2 * payload


@task
def shout(payload: str) -> str:
    return payload.upper()


@task
async def price(payload: Order) -> Order:
    return Order(payload.customer, payload.amount + 1)


@task
async def refuse_odd(payload: int) -> int:
    if payload % 2:
        raise ValueError(f"{payload} is odd")
    return payload


@task
async def nothing() -> None: ...


@task
async def forever() -> None:
    await asyncio.Event().wait()


@task
async def describe(payload: Any, ctx: Context) -> dict[str, Any]:
    """Say what the run knows about itself."""
    return {
        "payload": payload,
        "parent": ctx.run.parent_id,
        "root": ctx.run.root_id,
        "batch": ctx.run.batch_id,
        "index": ctx.run.batch_index,
        "tags": list(ctx.run.tags),
        "metadata": ctx.run.metadata,
        "priority": ctx.run.priority,
        "queue": ctx.queue.name,
        "key": ctx.run.concurrency_key,
        "attempt": ctx.attempt.number,
    }
