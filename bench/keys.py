"""Keys: what concurrency keys and a long line cost a drain."""

from typing import Final

from bench import figures, stack
from bench.figures import Figure
from bench.measuring import Bench, enqueue
from bench.tasks import keyed, noop

_CALLERS: Final = 4


async def measure(bench: Bench) -> list[Figure]:
    """Measure drains with keys of limit 1, and the first part of the drain of a backlog."""
    scale = bench.scale
    found = [figures.rate("keys.none", f"drain of {scale.keyed:,} without keys", [await _drain(bench, scale.keyed, 0)])]
    for keys, runs in ((1, scale.one_key), (scale.keyed // 10, scale.keyed), (scale.keyed, scale.keyed)):
        rate = await _drain(bench, runs, keys)
        found.append(figures.rate(f"keys.{keys}", f"drain with {keys:,} keys of limit 1", [rate], against="keys.none"))
    for keys in filter(None, (-1, scale.backlog_keys)):
        count = max(keys, 0)
        rate = await _drain(bench, scale.backlog, count, until=scale.keyed)
        name, told = (f"keys.backlog_{count}", f" in {count:,} keys") if count else ("keys.backlog", "")
        found.append(figures.rate(name, f"drain with {scale.backlog:,} in line{told}", [rate], against="keys.none"))
    return found


async def _drain(bench: Bench, runs: int, keys: int, *, until: int | None = None) -> float:
    """Return the rate at which runs go that were in line before the worker came.

    Args:
        bench: What is given.
        runs: How many.
        keys: Of the runs, each with limit 1; 0 for runs without keys or limit.
        until: Stop after so many; None: after all.
    """
    task = keyed if keys else noop
    bench.say(f"{runs:,} runs" + (f" in {keys:,} keys" if keys else ""))
    async with stack.opened(bench.postgres, "keys") as opened:
        await enqueue(task, runs, key_of=(lambda number: str(number % keys)) if keys else None, callers=_CALLERS)
        # As after any while in line: the planner knows the tables, and the checkpoint is not ours to pay.
        await opened.admin.execute("analyze oncue.live, oncue.lines, oncue.lanes, oncue.runs")
        await opened.admin.execute("checkpoint")
        async with opened.worker():
            await opened.until_idle(left=0 if until is None else runs - until)
        return await opened.drained(task.id)
