"""Streams: many items sent to a running worker as they come, and the memory that it takes on all three sides."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import oncue
from bench import figures, limit, plot, processes, stack
from bench.figures import Figure, Promise
from bench.measuring import Bench
from bench.plot import Curve
from bench.tasks import noop

_EVERY_S: Final = 0.5
_PROMISED: Final = Promise(50, at_least=False)


async def measure(bench: Bench) -> list[Figure]:
    """Measure a stream from its first item to its seal, and draw the memory of the three processes."""
    count = bench.scale.streamed
    async with stack.opened(bench.postgres, "streams") as opened:
        bench.say(f"COPY of {count:,} rows")
        await opened.admin.execute(limit.TABLE_OF_COPY)
        copied = await limit.copied(opened.admin, count, first=0)
        async with opened.worker() as worker:
            pids = {"client": os.getpid(), "server": opened.server.process.pid, "worker": worker.pid}
            curves = {name: Curve(name) for name in pids}
            bench.say(f"a stream of {count:,} items")
            async with _watched(pids, curves):
                began = time.perf_counter()
                handle = await noop.batch_trigger(_items(count))
                took_s = time.perf_counter() - began
            if handle.run_count != count:
                raise RuntimeError(f"{handle.run_count:,} items of {count:,} arrived")
            ended = await opened.admin.fetchval("select count(*) from oncue.runs where status is not null")
    drawn = plot.write("streams", f"A stream of {count:,} items", "seconds", "MB resident", list(curves.values()))
    bench.say(f"{ended:,} runs had ended when the last item was sent; memory drawn in {drawn}")
    return [
        figures.rate("streams.copy", "bare COPY of as many rows, 1,000 at once", [copied]),
        figures.rate(
            "streams.items", "items of a stream, with a worker that runs them", [count / took_s], against="streams.copy"
        ),
        *(
            Figure(
                name=f"streams.{name}",
                meaning=f"growth of the {name} by a stream of {count:,} items",
                unit="MB",
                value=curve.growth,
                promise=_PROMISED if name == "client" else None,
            )
            for name, curve in curves.items()
        ),
    ]


async def _items(count: int) -> AsyncIterator[oncue.Item[int, Any]]:
    for number in range(count):
        yield oncue.item(number)


@asynccontextmanager
async def _watched(pids: dict[str, int], curves: dict[str, Curve]) -> AsyncIterator[None]:
    began = time.perf_counter()

    async def watch() -> None:
        while True:
            for name, pid in pids.items():
                curves[name].add(time.perf_counter() - began, processes.rss_mb(pid))
            await asyncio.sleep(_EVERY_S)

    watching = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watching.cancel()
