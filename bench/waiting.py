"""Waiting: runs that wait for other runs, and what thousands of parked ones cost a worker."""

import time
from typing import Final

from bench import figures, patience, processes, stack
from bench.figures import Figure
from bench.measuring import Bench, enqueue
from bench.stack import Stack
from bench.tasks import parent, patient

_LOOK_EVERY_S: Final = 0.05


async def measure(bench: Bench) -> list[Figure]:
    """Measure parents that wait for a child each, and the memory of parked ones."""
    parents, parked = bench.scale.parents, bench.scale.parked
    async with stack.opened(bench.postgres, "waiting") as opened, opened.worker():
        bench.say(f"{parents:,} parents with a child each")
        began = time.perf_counter()
        await enqueue(parent, parents)
        rate = parents / (await opened.until_idle() - began)
        await opened.drained("parent")
    async with stack.opened(bench.postgres, "waiting") as opened, opened.worker() as worker:
        bench.say(f"{parked:,} parked parents")
        before_mb = processes.rss_mb(worker.pid)
        await enqueue(patient, parked)
        await _until_parked(opened, parked)
        grown_mb = processes.rss_mb(worker.pid) - before_mb
    return [
        figures.rate(
            "waiting.parents", "parents that trigger_and_wait a child each", [rate], against="throughput.end_to_end"
        ),
        Figure(
            name="waiting.memory",
            meaning=f"worker's growth by {parked:,} parked parents",
            unit="MB",
            value=grown_mb,
        ),
    ]


async def _until_parked(opened: Stack, count: int) -> None:
    async def are_parked() -> bool:
        waiting = await opened.admin.fetchval("select count(*) from oncue.live where status = 'WAITING_TO_RESUME'")
        return int(waiting) >= count

    await patience.until(are_parked, every_s=_LOOK_EVERY_S)
