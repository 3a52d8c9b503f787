"""Throughput: no-op runs triggered in batches of 1,000 by one caller and drained by one worker process."""

import os
import time
from typing import Final

from bench import figures, limit, stack
from bench.figures import Figure, Promise
from bench.measuring import Bench, enqueue
from bench.processes import CpuMeter
from bench.stack import Stack
from bench.tasks import noop

_PROMISED: Final = Promise(3_000)


async def measure(bench: Bench) -> list[Figure]:
    """Measure enqueue, drain, and both at once from the first call to the last run's end."""
    runs, rounds = bench.scale.runs, bench.scale.rounds
    bare, enqueued, drained, both, calls = [], [], [], [], []
    cpu: list[dict[str, float]] = []
    for turn in range(rounds):
        bench.say(f"{runs:,} runs enqueued, then drained, {turn + 1} of {rounds}")
        seconds, rate = await enqueue_and_drain(bench)
        calls += seconds
        enqueued.append(runs / sum(seconds))
        drained.append(rate)
        bench.say(f"the bare cycle between the two, {turn + 1} of {rounds}")
        bare.append(await limit.cycle(bench))
        async with stack.opened(bench.postgres, "throughput") as opened:
            bench.say(f"{runs:,} runs end to end, {turn + 1} of {rounds}")
            rate, used = await _end_to_end(opened, runs)
            both.append(rate)
            cpu.append(used)
    return [
        figures.rate(
            "throughput.end_to_end", "first trigger to last end, worker running", both,
            against="throughput.bare", promise=_PROMISED,
        ),
        figures.rate("throughput.bare", "the bare cycle of limit, taken in the same rounds", bare),
        figures.rate("throughput.enqueue", "batch_trigger of 1,000, no worker", enqueued, against="limit.copy"),
        figures.rate("throughput.drain", "first start to last end, all in line before", drained, against="limit.drain"),
        figures.spread("throughput.batch", "one batch_trigger of 1,000", calls),
        *(_cpu(name, [used[name] / runs for used in cpu]) for name in cpu[0]),
    ]  # fmt: skip


async def enqueue_and_drain(bench: Bench) -> tuple[list[float], float]:
    """Put runs in line, then let a worker come; return the seconds of each call, and at which rate the runs went."""
    async with stack.opened(bench.postgres, "throughput") as opened:
        seconds = await enqueue(noop, bench.scale.runs)
        async with opened.worker():
            await opened.until_idle()
        return seconds, await opened.drained("noop")


async def _end_to_end(opened: Stack, runs: int) -> tuple[float, dict[str, float]]:
    """Return runs a second, and the CPU seconds of each part."""
    async with opened.worker() as worker:
        meter = CpuMeter({
            "server": (opened.server.process.pid, False),
            "worker": (worker.pid, False),
            "postgres": (opened.postgres.pid, True),
            "client": (os.getpid(), False),
        })  # fmt: skip
        began = time.perf_counter()
        await enqueue(noop, runs)
        rate = runs / (await opened.until_idle() - began)
        used = meter.used()
    await opened.drained("noop")  # which refuses to count runs that did not succeed
    return rate, used


def _cpu(name: str, rounds: list[float]) -> Figure:
    ms = sorted(1000 * each for each in rounds)
    return Figure(
        name=f"throughput.cpu.{name}",
        meaning=f"CPU time of {name}, end to end",
        unit="CPU ms/run",
        value=figures.percentile(ms, 50),
        count=len(ms),
        rounds=tuple(ms),
    )
