"""Tasks: what the worker runs while it is measured."""

import time

import oncue
from bench.stamps import stamp


@oncue.task(id="noop")
async def noop(number: int) -> None:
    """Do nothing."""


@oncue.task(id="stamped")
async def stamped(sent: float) -> None:
    """Write down when it was sent and when it started."""
    stamp(sent, time.time())


@oncue.task(id="keyed", queue=oncue.queue("keyed", concurrency_limit=1))
async def keyed(number: int) -> None:
    """Do nothing, one run at a time for each concurrency key."""


@oncue.task(id="parent")
async def parent(number: int) -> None:
    """Wait for one run that does nothing."""
    await noop.trigger_and_wait(number).unwrap()


@oncue.task(id="patient")
async def patient(number: int) -> None:
    """Wait for a run that does not start."""
    await noop.trigger_and_wait(number, delay="1d")


@oncue.task(id="isolated", isolate=True)
async def isolated(sent: float) -> None:
    """Write down when it was sent and when it started, in a process of its own."""
    stamp(sent, time.time())
