"""Tasks whose hooks note in a ledger what they are told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from oncue import AbortRun, Context, Retry, RetryAfter, RunEvent, hooks, task
from tests.e2e.programs import gates


def ledger(event: RunEvent) -> str:
    return str(event.payload[0])


@hooks.on_start
def everywhere(event: RunEvent) -> None:
    gates.note(ledger(event), f"all start {event.ctx.task.id}")


@hooks.on_complete
def at_the_end(event: RunEvent) -> None:
    gates.note(ledger(event), f"all complete {event.output!r} {type(event.error).__name__}")


def start(event: RunEvent) -> None:
    gates.note(ledger(event), f"start {event.ctx.attempt.number}")


async def start_later(event: RunEvent) -> None:
    await asyncio.sleep(0)
    start(event)


def success(event: RunEvent) -> None:
    gates.note(ledger(event), f"success {event.output}")


def failure(event: RunEvent) -> None:
    gates.note(ledger(event), f"failure {event.error}")


def complete(event: RunEvent) -> None:
    gates.note(ledger(event), "complete")
    raise LookupError("nobody minds")


def cancel(event: RunEvent) -> None:
    gates.note(ledger(event), "cancel")


@asynccontextmanager
async def around(event: RunEvent) -> AsyncIterator[None]:
    gates.note(ledger(event), "in")
    try:
        yield
    finally:
        gates.note(ledger(event), "out")


@contextmanager
def around_plain(event: RunEvent) -> Iterator[None]:
    gates.note(ledger(event), "in")
    try:
        yield
    finally:
        gates.note(ledger(event), "out")


def decide(event: RunEvent) -> Exception | None:
    gates.note(ledger(event), f"catch {event.error}")
    match str(event.error):
        case "skip":
            return AbortRun("skipped")
        case "later":
            return RetryAfter(0)
        case _:
            return None


TWICE = Retry(max_attempts=2, min_timeout=0.01)


@task(
    retry=TWICE,
    on_start=start_later,
    on_success=success,
    on_failure=failure,
    on_complete=complete,
    on_cancel=cancel,
    catch_error=decide,
    middleware=[around, around_plain],
)
async def hooked(payload: list[str], ctx: Context) -> int:
    gates.note(payload[0], f"run {ctx.attempt.number}")
    if payload[1] == "stay":
        await gates.opened("/nonexistent/gate")
    if payload[1]:
        raise ValueError(payload[1])
    return 7


@task(
    retry=TWICE,
    on_start=start,
    on_success=success,
    on_failure=failure,
    on_complete=complete,
    on_cancel=cancel,
    catch_error=decide,
    middleware=[around_plain, around_plain],
)
def hooked_plain(payload: list[str], ctx: Context) -> int:
    gates.note(payload[0], f"run {ctx.attempt.number}")
    if payload[1]:
        raise ValueError(payload[1])
    return 7


@task(on_start=start_later, on_failure=failure)
def hooked_wrongly(payload: list[str]) -> None:
    """Its first hook awaits something, which a thread cannot."""
