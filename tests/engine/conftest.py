"""An engine to drive: a database, its dev environment, and the moves of clients and workers as short calls."""

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
import pytest

from oncue.engine import (
    attempts,
    batch_creating,
    batches,
    cancellation,
    claiming,
    environments,
    notices,
    partitions,
    reading,
    recovery,
    requests,
    sweeping,
    triggering,
    upkeep,
    workers,
)
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import ApiError
from oncue.protocol.failures import BuiltInError
from oncue.protocol.machines import Size
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.runs import RunView
from oncue.protocol.triggers import BatchItem, CreateBatchRequest, TriggerOptions, TriggerRequest
from oncue.protocol.work import (
    Announcement,
    Assignment,
    Failed,
    HandedBack,
    Notice,
    Outcome,
    Succeeded,
    TaskDeclaration,
    Unloaded,
)
from oncue.store.pool import Pool, Tx, in_transaction

T = TypeVar("T")
LEASE = datetime.timedelta(seconds=30)


class Engine:
    """The engine over one test's database; every call is one committed transaction at ``moment``."""

    def __init__(self, pool: Pool, environment: Environment) -> None:
        self.pool = pool
        self.environment = environment
        self.moment: datetime.datetime | None = None
        self.known: list[Environment] = []
        self.effects = Effects()

    async def run(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async def timed(tx: Tx) -> T:
            if self.moment is not None:
                await tx.execute("select set_config('oncue.now', $1, true)", self.moment.isoformat())
            return await work(tx)

        return await in_transaction(self.pool, timed)

    async def now(self) -> datetime.datetime:
        return await self.run(lambda tx: tx.fetchval("select oncue.now()"))

    async def advance(self, span: datetime.timedelta) -> None:
        self.moment = await self.now() + span

    async def announce(
        self,
        *tasks: str | TaskDeclaration,
        queues: list[str] | None = None,
        region: str | None = None,
        version: str | None = None,
        size: Size | None = None,
        fingerprint: str | None = None,
        environment: Environment | None = None,
    ) -> uuid.UUID:
        worker = ids.new_worker_id()
        announcement = Announcement(
            worker_id=worker,
            tasks=[TaskDeclaration(id=task) if isinstance(task, str) else task for task in tasks],
            places=100,
            hostname="test",
            pid=1,
            sdk_version="0",
            queues=queues,
            region=region,
            version=version,
            fingerprint=fingerprint,
            cpus=None if size is None else size.cpus,
            memory_bytes=None if size is None else size.memory_bytes,
        )
        env = environment or self.environment
        await self.run(lambda tx: workers.announce(tx, env, announcement, lease=LEASE, effects=self.effects))
        await self.run(lambda tx: upkeep.place_group(tx, env, effects=self.effects))
        return ids.parse(ids.WORKER, worker)

    async def trigger_many(self, *wanted: tuple[str, TriggerRequest], **plan: Any) -> list[Triggered | ApiError]:
        runs = [requests.plan(task, request, **plan) for task, request in wanted]
        return await self.run(lambda tx: triggering.trigger_many(tx, self.environment, runs, effects=self.effects))

    async def trigger(self, task: str, payload: object = None, **options: Any) -> str:
        (made,) = await self.trigger_many((task, request(payload, **options)))
        if isinstance(made, ApiError):
            raise made
        return ids.show(ids.RUN, made.run_id)

    async def child(self, parent: Assignment, worker: uuid.UUID, task: str, **options: Any) -> str:
        return await self.trigger(
            task,
            parent_run_id=parent.run_id,
            parent_epoch=parent.epoch,
            parent_worker_id=ids.show(ids.WORKER, worker),
            **options,
        )

    async def wait_for(self, parent: Assignment, worker: uuid.UUID, task: str, **options: Any) -> str:
        return await self.child(parent, worker, task, resume_parent_on_completion=True, **options)

    async def claim(self, worker: uuid.UUID, places: int = 100, *, held_first: bool = False) -> list[Assignment]:
        look = claiming.Look([], turn=0)

        async def work(tx: Tx) -> claiming.Look:
            return await claiming.claim(
                tx,
                self.environment,
                worker,
                places=places,
                turn=look.turn or 0,
                is_again=look.is_again,
                held_first=held_first,
                effects=self.effects,
            )

        while True:
            look = await self.run(work)
            if look.turn is None:
                return look.runs

    async def report(self, worker: uuid.UUID, *outcomes: Outcome) -> list[str]:
        return await self.run(lambda tx: attempts.report(tx, self.environment, worker, outcomes, effects=self.effects))

    async def succeed(self, worker: uuid.UUID, *runs: Assignment, output: bytes = b"null") -> list[str]:
        return await self.report(worker, *(Succeeded(run.run_id, run.epoch, 5, msgspec.Raw(output)) for run in runs))

    async def fail(self, worker: uuid.UUID, run: Assignment, **how: Any) -> list[str]:
        return await self.report(worker, Failed(run.run_id, run.epoch, 5, BuiltInError("ValueError", "no"), **how))

    async def fail_all(self, worker: uuid.UUID, *runs: Assignment) -> list[str]:
        failure = BuiltInError("ValueError", "no")
        return await self.report(worker, *(Failed(run.run_id, run.epoch, 5, failure) for run in runs))

    async def hand_back(self, worker: uuid.UUID, *runs: Assignment) -> list[str]:
        return await self.report(worker, *(HandedBack(run.run_id, run.epoch) for run in runs))

    async def unload(self, worker: uuid.UUID, run: Assignment, *waits_for: str) -> list[str]:
        return await self.report(worker, Unloaded(run.run_id, run.epoch, 7, list(waits_for)))

    async def notices(self, worker: uuid.UUID, acknowledged: Sequence[int] = ()) -> list[Notice]:
        return await self.run(lambda tx: notices.take(tx, self.environment, worker, acknowledged=acknowledged))

    async def cancel(self, *runs: str) -> None:
        wanted = [ids.parse(ids.RUN, run) for run in runs]
        await self.run(lambda tx: cancellation.cancel(tx, self.environment, wanted, effects=self.effects))

    async def retrieve(self, run: str) -> RunView:
        return await self.run(lambda tx: reading.retrieve(tx, self.environment, ids.parse(ids.RUN, run)))

    async def status(self, run: str) -> str:
        return (await self.retrieve(run)).status

    async def recover(self, **limits: int) -> int:
        return await self.run(lambda tx: recovery.recover_lost(tx, self.environment, effects=self.effects, **limits))

    async def release_due(self) -> None:
        await self.run(lambda tx: upkeep.release_group(tx, self.effects))

    async def expire_due(self) -> int:
        return await self.run(lambda tx: upkeep.expire_group(tx, self.effects))

    async def create_batch(self, count: int, **fields: Any) -> str:
        asked = CreateBatchRequest(count, **fields)
        made = await self.run(lambda tx: batch_creating.create(tx, self.environment, asked, effects=self.effects))
        return made.response.id

    async def fill_batch(self, batch: str, *items: BatchItem) -> tuple[int, int, bool]:
        """Return (accepted, deduplicated, sealed)."""
        key = ids.parse(ids.BATCH, batch)
        filled = await self.run(lambda tx: batches.fill(tx, self.environment, key, items, effects=self.effects))
        state = await self.run(
            lambda tx: batches.seal(
                tx,
                self.environment,
                key,
                accepted=filled.accepted,
                deduplicated=filled.deduplicated,
                effects=self.effects,
            )
        )
        return state.items_accepted, state.items_deduplicated, state.sealed

    async def violations(self) -> int:
        return await self.run(lambda tx: sweeping.sweep(tx, self.environment, effects=self.effects))


async def until_blocked(engine: Engine) -> None:
    """Return once a statement of this test's database waits for a lock."""
    blocked = """select exists (
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    )"""
    async with asyncio.timeout(10):
        while not await engine.pool.fetchval(blocked):
            await asyncio.sleep(0.005)


def request(payload: object = None, **options: Any) -> TriggerRequest:
    document = msgspec.Raw(msgspec.json.encode(payload))
    return TriggerRequest(document, TriggerOptions(**options))


def declared(task: str, **fields: Any) -> TaskDeclaration:
    return TaskDeclaration(id=task, **fields)


NO_WAIT = RetryPolicy(max_attempts=3, min_timeout_ms=0, max_timeout_ms=0, randomize=False)


@pytest.fixture
async def engine(db: Pool) -> AsyncIterator[Engine]:
    """An engine with its two environments; at the end no counter may differ from its rows."""
    known = await in_transaction(db, environments.ensure_default_project)
    await in_transaction(db, partitions.make_ahead)
    made = Engine(db, known[0])
    made.known = known
    yield made
    assert await made.violations() == 0


@pytest.fixture
def production(engine: Engine) -> Engine:
    """The same engine in its production environment."""
    return Engine(engine.pool, engine.known[1])
