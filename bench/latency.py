"""Latency: how soon a lone trigger's run starts, and what a ``trigger`` costs its caller.

Caller and task read the same machine's clock: the caller just before the call, the task as its first act.
"""

import asyncio
import time
from typing import Final

from bench import figures, stack, stamps
from bench.figures import Figure, Promise
from bench.measuring import Bench
from bench.stack import Stack
from bench.tasks import noop, stamped
from oncue.sdk.task import AsyncTask

_PACE_S: Final = 0.05
_CALLERS: Final = 32
_WARM_UP: Final = 20
_PROMISED: Final = Promise(15, at_least=False)


async def measure(bench: Bench) -> list[Figure]:
    """Measure lone triggers at 20 a second, and triggers as fast as 1 and 32 callers can."""
    async with stack.opened(bench.postgres, "latency") as opened:
        bench.say("triggers one after the other, then from 32 callers")
        await _trigger(_WARM_UP)
        sequential = await _sequential(bench.scale.sequential)
        concurrent = await _concurrent(bench.scale.concurrent)
        async with opened.worker():
            await opened.until_idle()
            bench.say(f"{bench.scale.lone} lone triggers, 20 a second")
            calls, starts = await lone(opened, stamped, bench.scale.lone)
    return [
        figures.spread(
            "latency.start", "lone trigger to start of its run", starts, against="limit.handover", promise=_PROMISED
        ),
        figures.spread("latency.trigger", "lone trigger, call to answer", calls, against="limit.commit"),
        figures.rate("latency.sequential", "triggers by one caller, one after the other", [sequential]),
        figures.rate("latency.concurrent", f"triggers by {_CALLERS} callers", [concurrent], against="limit.cycle"),
    ]


async def lone(opened: Stack, task: AsyncTask[float, None], count: int) -> tuple[list[float], list[float]]:
    """Trigger a task that stamps, 20 times a second; return the seconds from call to answer, and from call to start."""
    await _paced(task, _WARM_UP)
    await opened.until_idle()
    calls = await _paced(task, count)
    await opened.until_idle()
    last = sorted(stamps.read(opened.stamps))[-count:]
    return calls, [each.started - each.sent for each in last]


async def _paced(task: AsyncTask[float, None], count: int) -> list[float]:
    calls = []
    for _ in range(count):
        began = time.perf_counter()
        await task.trigger(time.time())
        calls.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, began + _PACE_S - time.perf_counter()))
    return calls


async def _sequential(count: int) -> float:
    began = time.perf_counter()
    await _trigger(count)
    return count / (time.perf_counter() - began)


async def _concurrent(count: int) -> float:
    share = count // _CALLERS
    began = time.perf_counter()
    await asyncio.gather(*(_trigger(share) for _ in range(_CALLERS)))
    return share * _CALLERS / (time.perf_counter() - began)


async def _trigger(count: int) -> None:
    for number in range(count):
        await noop.trigger(number)
