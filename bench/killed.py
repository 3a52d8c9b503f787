"""Killed: how much two workers get done while one of them is killed every three seconds and started again."""

import asyncio
import itertools
import signal
import time
from contextlib import AsyncExitStack
from typing import Final

from bench import figures, stack
from bench.figures import Figure
from bench.measuring import Bench, enqueue
from bench.stack import Stack
from bench.tasks import noop
from oncue.cli.children import Child

_EVERY_S: Final = 3.0
_LEFT: Final = "select count(*) from oncue.live"


async def measure(bench: Bench) -> list[Figure]:
    """Measure runs that end in a span of time, undisturbed and with a worker killed every three seconds.

    Counted is what has ended by the database: runs that a killed worker held come back when its lease of 30 seconds has
    run out, and are missing until then.
    """
    calm, killed = [], []
    for turn in range(bench.scale.killed_rounds):
        bench.say(f"two workers, undisturbed, {turn + 1} of {bench.scale.killed_rounds}")
        calm.append(await _rate(bench, kills=False))
        bench.say(f"two workers, one killed every {_EVERY_S:g} s, {turn + 1} of {bench.scale.killed_rounds}")
        killed.append(await _rate(bench, kills=True))
    return [
        figures.rate("killed.none", "no-op runs ended by two workers, undisturbed", calm),
        figures.rate("killed.one", f"the same, one killed every {_EVERY_S:g} s", killed, against="killed.none"),
    ]


async def _rate(bench: Bench, *, kills: bool) -> float:
    async with stack.opened(bench.postgres, "killed") as opened, AsyncExitStack() as running:
        await enqueue(noop, bench.scale.killed_runs, callers=2)
        workers = [await running.enter_async_context(opened.worker()) for _ in range(2)]
        before, began = await _left(opened), time.perf_counter()
        until = began + bench.scale.killed_s
        for turn in itertools.count():
            await asyncio.sleep(min(_EVERY_S, max(0.0, until - time.perf_counter())))
            if time.perf_counter() >= until:
                break
            if kills:
                workers[turn % 2] = await _killed(running, opened, workers[turn % 2])
        left, took = await _left(opened), time.perf_counter() - began
        if not left:
            raise RuntimeError(f"{bench.scale.killed_runs:,} runs did not last; raise Scale.killed_runs")
        return (before - left) / took


async def _killed(running: AsyncExitStack, opened: Stack, worker: Child) -> Child:
    worker.signal(signal.SIGKILL)
    await worker.ended()
    return await running.enter_async_context(opened.worker())


async def _left(opened: Stack) -> int:
    return int(await opened.admin.fetchval(_LEFT))
