"""Isolated: how soon a lone trigger's run starts in a process of its own, beside one that starts in the worker."""

from typing import Final

from bench import figures, latency, stack
from bench.figures import Figure, Promise
from bench.measuring import Bench
from bench.tasks import isolated, stamped

_PROMISED: Final = Promise(30, at_least=False)


async def measure(bench: Bench) -> list[Figure]:
    """Measure lone triggers, 20 a second, of a task in the worker's process and of one in a process of its own."""
    async with stack.opened(bench.postgres, "isolated") as opened, opened.worker():
        bench.say(f"{bench.scale.lone} lone triggers in the worker, then in processes of their own")
        _, shared = await latency.lone(opened, stamped, bench.scale.lone)
        _, apart = await latency.lone(opened, isolated, bench.scale.lone)
    return [
        figures.spread("isolated.none", "lone trigger to start of its run in the worker", shared),
        figures.spread(
            "isolated.start",
            "lone trigger to start of its run in a process of its own",
            apart,
            against="isolated.none",
            promise=_PROMISED,
        ),
    ]
