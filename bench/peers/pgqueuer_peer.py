"""PgQueuer: batches by arrays, a listening worker that takes 100 jobs at a time."""

import time
from collections.abc import Sequence

import asyncpg
from pgqueuer import PgQueuer, Queries  # type: ignore[import-not-found] # installed for this module alone
from pgqueuer.models import Job  # type: ignore[import-not-found]

from bench.peers import driver
from bench.stamps import stamp

_TASK = "stamped"


class PgQueuerPeer:
    """The calls of PgQueuer's own documentation."""

    async def open(self) -> None:
        """Connect as a caller."""
        self._connection = await asyncpg.connect(driver.dsn())
        self._queries = Queries.from_asyncpg_connection(self._connection)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def setup(self) -> None:
        """Create the schema."""
        await self._queries.install()

    async def one(self, sent: float) -> None:
        """Trigger one task."""
        await self._queries.enqueue(_TASK, repr(sent).encode())

    async def many(self, sent: Sequence[float]) -> None:
        """Trigger a batch of tasks."""
        await self._queries.enqueue([_TASK] * len(sent), [repr(each).encode() for each in sent], [0] * len(sent))

    async def work(self) -> None:
        """Be the worker process."""
        queuer = PgQueuer.from_asyncpg_connection(await asyncpg.connect(driver.dsn()))

        @queuer.entrypoint(_TASK)  # type: ignore[untyped-decorator]
        async def stamped(job: Job) -> None:
            assert job.payload is not None
            stamp(float(job.payload), time.time())

        await queuer.run(batch_size=100)


if __name__ == "__main__":
    driver.run(PgQueuerPeer())
