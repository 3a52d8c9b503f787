"""A parent that waits costs its worker next to nothing."""

import asyncio
from pathlib import Path

import pytest

from oncue import item, tasks
from tests.fixtures.embedded import ask
from tests.fixtures.stack import Stack, called, eventually

_MB = 1024 * 1024
_BATCH = 1_000
_PARKED = "select count(*) from oncue.live where status = 'WAITING_TO_RESUME'"


def _resident_bytes(pid: int) -> int:
    """Memory that a process holds at this moment."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("parents", "limit_mb"),
    [(1_000, 10), pytest.param(10_000, 100, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
)
async def test_parked_parents_take_little_memory(own_stack: Stack, parents: int, limit_mb: int) -> None:
    worker = own_stack.start_worker("tests.e2e.programs.parked")
    with called(own_stack.server):
        # What the first runs load and open is not the parents'.
        warm = await tasks.batch_trigger("quick", [item(number) for number in range(500)])
        await asyncio.gather(*(handle.result(20) for handle in warm.runs[-20:]))
        before = _resident_bytes(worker.pid)

        for start in range(0, parents, _BATCH):
            await tasks.batch_trigger("parent", [item(start + number) for number in range(_BATCH)])

        async def all_parked() -> bool:
            return bool(await ask(own_stack.database_url, _PARKED) == parents)

        await eventually(all_parked, f"{parents:,} parents are parked", within_s=240)
        grown_mb = (_resident_bytes(worker.pid) - before) / _MB

        assert grown_mb < limit_mb
        # And the worker has all its places for others.
        assert (await (await tasks.trigger("quick", 1)).result(20)).unwrap() == 1
