"""Tasks that fail, in each way there is."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from oncue import AbortRun, Context, Retry, RetryAfter, task
from tests.e2e.programs import gates

QUICKLY = Retry(max_attempts=4, factor=2, min_timeout=0.1, max_timeout=1, randomize=False)


@dataclass
class Parcel:
    address: str
    weight: int


@task(retry=QUICKLY)
async def weigh(payload: Parcel) -> int:
    return payload.weight


@task(retry=QUICKLY)
async def fails_until(payload: int, ctx: Context) -> int:
    """Succeed in the attempt that the payload says."""
    if ctx.attempt.number < payload:
        raise ConnectionError(f"attempt {ctx.attempt.number}")
    return ctx.attempt.number


@task(retry=QUICKLY)
def fails_until_plain(payload: int, ctx: Context) -> int:
    if ctx.attempt.number < payload:
        raise ConnectionError(f"attempt {ctx.attempt.number}")
    return ctx.attempt.number


@task(retry=Retry(max_attempts=3, factor=2, min_timeout=0.2, max_timeout=1, randomize=False))
async def notes_attempts(payload: str) -> None:
    """Note when each attempt starts; fail."""
    gates.note(payload, str(time.time()))
    raise ValueError("again")


@task(retry=Retry(max_attempts=3, min_timeout=60))
async def chooses_the_moment(payload: str, ctx: Context) -> int:
    if ctx.attempt.number == 1:
        raise RetryAfter(0.1, "the shop is closed")
    return ctx.attempt.number


@task(retry=QUICKLY)
async def gives_up() -> None:
    raise AbortRun("the account is closed")


@task
async def fails_once() -> None:
    raise KeyError("no retry was declared")


@task
async def exits() -> None:
    raise SystemExit(3)


@task
def interrupts() -> None:
    raise KeyboardInterrupt


@task
async def unstorable() -> object:
    return threading.Lock()


@task
async def large(payload: str) -> int:
    return len(Path(payload).read_text())
