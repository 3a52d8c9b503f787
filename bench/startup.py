"""Start-up: what ``import oncue`` costs, and how soon PostgreSQL and the server are there."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import figures, stack
from bench.figures import Figure
from bench.measuring import Bench
from oncue.cli.stack import Place, served
from oncue.store.embedded import EmbeddedPostgres


async def measure(bench: Bench) -> list[Figure]:
    """Measure the import, starts of PostgreSQL with and without data, and of the server."""
    starts = bench.scale.starts
    bench.say(f"{starts} imports")
    bare, ours = await asyncio.to_thread(_imports, starts)
    bench.say("PostgreSQL and server")
    cold, warm = await _postgres()
    return [
        Figure(
            name="startup.import",
            meaning="import oncue, beyond Python's own start",
            unit="ms",
            value=1000 * (statistics.median(ours) - statistics.median(bare)),
            count=starts,
        ),
        figures.spread("startup.python", "Python's own start", bare),
        figures.spread("startup.postgres_cold", "embedded PostgreSQL, first start", [cold]),
        figures.spread("startup.postgres_warm", "embedded PostgreSQL, with data", [warm]),
        figures.spread("startup.server", "oncue server, new database, until it answers", [await _server(bench)]),
    ]


def _imports(count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of processes that do nothing and of ones that import oncue, taken in turn."""
    bare: list[float] = []
    ours: list[float] = []
    for code, seconds in [("pass", bare), ("import oncue", ours)] * (count + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        seconds.append(time.perf_counter() - began)
    # The first of each fills the file cache.
    return bare[1:], ours[1:]


async def _postgres() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="oncue-bench-") as folder:
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            async with EmbeddedPostgres(Path(folder) / "postgres"):
                seconds.append(time.perf_counter() - began)
    cold, warm = seconds
    return cold, warm


async def _server(bench: Bench) -> float:
    async with stack.database(bench.postgres, "startup") as url:
        place = Place(bench.postgres.folder, "127.0.0.1", 0, "tr_dev_sk_" + "a" * 24)
        began = time.perf_counter()
        async with served(place, {"DATABASE_URL": url, "ONCUE_LOG": "error"}) as server:
            # The process says its address once it accepts requests.
            assert server.url
            return time.perf_counter() - began
