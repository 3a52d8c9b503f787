"""A worker that calls, whose calls nobody answers; what became of them is looked up."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import asyncpg
import pytest

from oncue.protocol import ids
from tests.api.client import Client
from tests.fixtures.stack import KEY, Program, Stack, called, eventually
from tests.options.functions import TARGET
from tests.options.program import CALLERS

_KEPT: Final = """
select
    run.id,
    run.payload::jsonb ->> 'cell' as cell,
    run.queue,
    queue.code_limit as queue_limit,
    run.concurrency_key,
    run.priority,
    run.max_attempts,
    extract(epoch from run.max_duration)::float as max_duration_s,
    run.delay_until as delayed_until,
    extract(epoch from run.delay_until - run.created_at)::float as delay_s,
    run.machine,
    run.region,
    run.version,
    run.tags,
    extract(epoch from run.ttl)::float as ttl_s,
    run.idempotency_key,
    extract(epoch from idempotency.expires_at - run.created_at)::float as key_life_s,
    debounce.key as debounce_key,
    extract(epoch from debounce.latest_at - run.created_at)::float as debounced_for_s
from oncue.runs as run
left join oncue.queues as queue on queue.env_id = run.env_id and queue.name = run.queue
left join oncue.idempotency_keys as idempotency
    on idempotency.env_id = run.env_id and idempotency.run_id = run.id
left join oncue.debounces as debounce on debounce.env_id = run.env_id and debounce.run_id = run.id
where run.task = $1 and starts_with(run.payload::jsonb ->> 'cell', $2)
"""

_TOLERANCE_S: Final = 20
"""Between the moments at which a row's parts are written; no two values of the table are as close."""


class Differs(NamedTuple):
    cell: str
    known: str
    expected: Any
    found: Any


class Looker:
    """Looks up what runs have become like."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self._stack = stack
        self._client = client
        self.client = client

    async def kept(self, prefix: str) -> list[asyncpg.Record]:
        """What the database has of runs, by the beginning of their cells' names."""
        connection = await asyncpg.connect(self._stack.database_url)
        try:
            return await connection.fetch(_KEPT, TARGET, prefix)
        finally:
            await connection.close()

    async def until_there(self, prefix: str, count: int) -> dict[str, dict[str, Any]]:
        """Wait for runs, at least one; returns by their cells' names what is known of each."""

        async def look() -> list[asyncpg.Record] | None:
            rows = await self.kept(prefix)
            return rows if len(rows) >= count else None

        rows = await eventually(look, f"{count} runs of {prefix!r}")
        assert len(rows) == count
        shown = await asyncio.gather(
            *(self._client.get(f"/api/v3/runs/{ids.show(ids.RUN, row['id'])}") for row in rows)
        )
        return {
            row["cell"]: dict(row) | {f"shown_{field}": value for field, value in reply.body.items()}
            for row, reply in zip(rows, shown, strict=True)
        }


def differences(cell: str, expected: dict[str, Any], found: dict[str, Any]) -> list[Differs]:
    """Return what is not as it should be."""
    return [
        Differs(cell, known, value, found.get(known))
        for known, value in expected.items()
        if not _alike(value, found.get(known))
    ]


def _alike(expected: Any, found: Any) -> bool:
    if isinstance(expected, float):
        return found is not None and found == pytest.approx(expected, abs=_TOLERANCE_S)
    return json.dumps(expected, default=str) == json.dumps(found, default=str)


@pytest.fixture(scope="session")
def callers(shared_stack: Stack) -> Program:
    served = ",".join(f"task/{name}" for name in CALLERS)
    return shared_stack.start_worker("tests.options.program", queues=served)


@pytest.fixture
def backend(shared_stack: Stack) -> Iterator[Stack]:
    with called(shared_stack.server):
        yield shared_stack


@pytest.fixture
async def looker(backend: Stack, callers: Program) -> AsyncIterator[Looker]:
    await callers.announced()
    async with Client(backend.server.url, KEY) as client:
        yield Looker(backend, client)
