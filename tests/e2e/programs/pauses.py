"""Tasks that wait for moments and tokens."""

import datetime
import time
from typing import Any

from oncue import Completed, Context, TimedOut, queue, task, wait
from tests.e2e.programs import gates

ALONE = queue("pauses-alone", concurrency_limit=1)


@task(queue=ALONE)
async def naps(payload: float) -> float:
    """Return how many seconds a nap took."""
    began = time.time()
    await wait.for_(seconds=payload)
    return time.time() - began


@task(queue=ALONE)
def naps_plain(payload: float) -> float:
    began = time.time()
    wait.sync.for_(seconds=payload)
    return time.time() - began


@task
async def until_then(payload: str) -> float:
    """Return how many seconds after a moment it went on."""
    await wait.until(payload)
    return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(payload)).total_seconds()


@task
async def asks(payload: list[Any]) -> Any:
    """Make a token, tell it, and return what came of it."""
    ledger, timeout = payload
    token = await wait.create_token(timeout=timeout, tags="asked")
    gates.note(ledger, f"{token.id} {token.url}")
    match await wait.for_token(token):
        case Completed(output=output):
            return output
        case TimedOut():
            return "timed out"


@task
def asks_plain(payload: list[Any]) -> Any:
    ledger, timeout = payload
    token = wait.sync.create_token(timeout=timeout)
    gates.note(ledger, f"{token.id} {token.url}")
    return wait.sync.for_token(token.id).unwrap()


@task
async def naps_then_stays(payload: list[str], ctx: Context) -> int:
    """Nap twice; between the two note the worker, and stay until a gate is open."""
    ledger, gate = payload
    token = await wait.create_token()
    await wait.for_(seconds=0.01)
    gates.note(ledger, f"{ctx.worker.id} {token.id}")
    await gates.opened(gate)
    await wait.for_(seconds=0.01)
    return 2
