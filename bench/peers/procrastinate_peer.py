"""Procrastinate: batches by ``batch_defer``, a listening worker with 100 jobs at once."""

import time
from collections.abc import Sequence

import procrastinate  # type: ignore[import-not-found] # installed for this module alone

from bench.peers import driver
from bench.stamps import stamp

_CONNECTIONS = 20

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=driver.dsn(), max_size=_CONNECTIONS))


@app.task(name="stamped")  # type: ignore[untyped-decorator]
async def stamped(sent: float) -> None:
    """Write down when it was sent and when it started."""
    stamp(sent, time.time())


class ProcrastinatePeer:
    """The calls of Procrastinate's own documentation."""

    async def open(self) -> None:
        """Connect as a caller."""
        await app.open_async()

    async def close(self) -> None:
        """Disconnect."""
        await app.close_async()

    async def setup(self) -> None:
        """Create the schema."""
        await app.schema_manager.apply_schema_async()

    async def one(self, sent: float) -> None:
        """Trigger one task."""
        await stamped.defer_async(sent=sent)

    async def many(self, sent: Sequence[float]) -> None:
        """Trigger a batch of tasks."""
        await stamped.batch_defer_async(*[{"sent": each} for each in sent])

    async def work(self) -> None:
        """Be the worker process."""
        async with app.open_async():
            await app.run_worker_async(concurrency=100, install_signal_handlers=False, delete_jobs="always")


if __name__ == "__main__":
    driver.run(ProcrastinatePeer())
