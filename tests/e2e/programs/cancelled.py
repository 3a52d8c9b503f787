"""Tasks that are cancelled, and note what they notice of it."""

import asyncio
from typing import Any

from oncue import Ok, RunCancelled, task
from oncue.sdk.results import AnyResult
from tests.e2e.programs import gates


@task
async def cancellable(payload: str) -> None:
    """Note the start, the cancellation, and the clean-up, which takes its time."""
    gates.note(payload, "started")
    try:
        await gates.opened("/nonexistent/gate")
    except asyncio.CancelledError:
        gates.note(payload, "told")
        raise
    finally:
        await asyncio.sleep(0.01)
        gates.note(payload, "cleaned")


@task
async def harmless() -> None: ...


@task
def cancellable_plain(payload: str) -> None:
    """Note the start, and what the next call of oncue raises after a cancellation."""
    gates.note(payload, "started")
    gates.opened_blocking(f"{payload}.gate")
    try:
        harmless.sync.trigger()
    except Exception:  # noqa: BLE001 - what a careless task writes
        gates.note(payload, "swallowed")
    except RunCancelled:
        gates.note(payload, "told")
        raise
    finally:
        gates.note(payload, "cleaned")


@task
def cancellable_waiting(payload: str) -> None:
    """Wait on this thread for a child that never ends."""
    gates.note(payload, "started")
    try:
        cancellable.sync.trigger_and_wait(f"{payload}.child")
    except RunCancelled:
        gates.note(payload, "told")
        raise
    finally:
        gates.note(payload, "cleaned")


@task
async def ancestor(payload: list[Any]) -> str:
    """Wait for as many generations as it is told, the last of them ``cancellable``; return how that ended."""
    ledger, generations = payload
    try:
        child: AnyResult = (
            await ancestor.trigger_and_wait([ledger, generations - 1])
            if generations
            else await cancellable.trigger_and_wait(ledger)
        )
    except asyncio.CancelledError:
        gates.note(ledger, f"ancestor {generations} told")
        raise
    return child.output if isinstance(child, Ok) else str(child.error)
