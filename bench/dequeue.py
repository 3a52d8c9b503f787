"""Dequeue: what many keys, and many runs in line, cost whoever takes the next ones.

The engine's own claim and report over one connection, a hundred runs at a time, as a server does for one busy worker.
Neither HTTP nor a worker is in the way, so a slower claim cannot hide behind them. All lines are kept side by side in
databases of one PostgreSQL and served in turn, so each round of a figure has a round of the one it is compared with
right beside it.
"""

import datetime
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

import msgspec

from bench import figures, stack
from bench.figures import Figure
from bench.measuring import BATCH, Bench
from bench.scale import Scale
from oncue.engine import attempts, claiming, environments, partitions, requests, triggering, workers
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.errors import ApiError
from oncue.protocol.triggers import TriggerOptions, TriggerRequest
from oncue.protocol.work import Announcement, Assignment, Succeeded, TaskDeclaration
from oncue.store import migrate
from oncue.store.pool import Pool, in_transaction, open_pool

_TASK: Final = "measured"
_PLACES: Final = 100
_TURN: Final = 10
"""Claims of one line before the next line has its turn."""
_LEASE: Final = datetime.timedelta(hours=12)


class Kind(NamedTuple):
    """What a line is like."""

    name: str
    meaning: str
    runs: int
    keys: int
    """0: its runs have no key."""
    against: str | None = None
    refilled: bool = False
    """As many runs as are taken are triggered again, outside of the measured time."""


class Line(NamedTuple):
    """A queue with runs in line, in a database of its own."""

    kind: Kind
    pool: Pool
    environment: Environment
    worker: str


class Rates(NamedTuple):
    """Runs a second in each round: claimed, and claimed and ended."""

    claimed: list[float]
    served: list[float]


async def measure(bench: Bench) -> list[Figure]:
    """Measure claims of runs in 1, many and very many keys, and with nothing or very much behind them in line."""
    scale = bench.scale
    async with AsyncExitStack() as open_:
        lines = [await open_.enter_async_context(_line(bench, kind)) for kind in _kinds(scale)]
        found = {each.kind.name: Rates([], []) for each in lines}
        for number in range(scale.dequeue_rounds):
            bench.say(f"round {number + 1} of {scale.dequeue_rounds}")
            for each in lines:
                claimed, served = await _turn(each)
                # The first turn warms plans and pages, and counts for none.
                if number:
                    found[each.kind.name].claimed.append(claimed)
                    found[each.kind.name].served.append(served)
    return [figure for each in lines for figure in _figures(each.kind, found[each.kind.name])]


def _kinds(scale: Scale) -> list[Kind]:
    runs, (many, very_many) = scale.dequeue_runs, scale.dequeue_keys
    one, empty = "dequeue.keys_1", "dequeue.empty"
    return [
        Kind(one, f"{runs:,} runs in 1 key", runs, 1),
        Kind(f"dequeue.keys_{many}", f"in {many:,} keys", runs, many, against=one),
        Kind(f"dequeue.keys_{very_many}", f"in {very_many:,} keys", runs, very_many, against=one),
        Kind(empty, "nothing else in line", 0, 0, refilled=True),
        Kind("dequeue.backlog", f"{scale.backlog:,} in line", scale.backlog, 0, against=empty, refilled=True),
    ]


def _figures(kind: Kind, rates: Rates) -> list[Figure]:
    def beside(suffix: str) -> str | None:
        return None if kind.against is None else f"{kind.against}_{suffix}"

    return [
        figures.rate(f"{kind.name}_claim", f"claim, {kind.meaning}", rates.claimed, against=beside("claim")),
        figures.rate(f"{kind.name}_serve", f"claim and end, {kind.meaning}", rates.served, against=beside("serve")),
    ]


@asynccontextmanager
async def _line(bench: Bench, kind: Kind) -> AsyncIterator[Line]:
    async with stack.database(bench.postgres, f"dequeue_{secrets.token_hex(4)}") as url:
        pool = await open_pool(url, max_size=1)
        try:
            async with pool.acquire() as connection:
                await migrate.migrate(connection)
            environment = (await in_transaction(pool, environments.ensure_default_project))[0]
            await in_transaction(pool, partitions.make_ahead)
            made = Line(kind, pool, environment, ids.new_worker_id())
            await _announce(made)
            await _fill(made, bench)
            async with pool.acquire() as connection:
                # As after any while in line: the planner knows the tables, and the checkpoint is not ours to pay.
                await connection.execute("vacuum analyze oncue.live, oncue.lines, oncue.lanes, oncue.runs")
                await connection.execute("checkpoint")
            yield made
        finally:
            await pool.close()


async def _announce(line: Line) -> None:
    announcement = Announcement(
        worker_id=line.worker,
        tasks=[TaskDeclaration(id=_TASK, queue="measured", concurrency_limit=_PLACES)],
        places=_PLACES,
        hostname="bench",
        pid=0,
        sdk_version="bench",
    )
    await in_transaction(
        line.pool, lambda tx: workers.announce(tx, line.environment, announcement, lease=_LEASE, effects=Effects())
    )


async def _fill(line: Line, bench: Bench) -> None:
    """Put runs in line through the engine's own trigger, a thousand in a transaction."""
    runs, keys = line.kind.runs, line.kind.keys
    for begin in range(0, runs, BATCH):
        if begin % (100 * BATCH) == 0:
            bench.say(f"{line.kind.name}: {begin:,} of {runs:,} in line")
        numbers = range(begin, min(begin + BATCH, runs))
        await _trigger(line, [str(number % keys) if keys else None for number in numbers])


async def _trigger(line: Line, keys: Sequence[str | None]) -> None:
    wanted = [
        requests.plan(_TASK, TriggerRequest(msgspec.Raw(b"1"), TriggerOptions(concurrency_key=key))) for key in keys
    ]
    made = await in_transaction(
        line.pool, lambda tx: triggering.trigger_many(tx, line.environment, wanted, effects=Effects())
    )
    for one in made:
        if isinstance(one, ApiError):
            raise one


async def _turn(line: Line) -> tuple[float, float]:
    """Claim and end runs a few times; returns the rate of the claims alone, and of both."""
    worker = ids.parse(ids.WORKER, line.worker)
    waiting = ending = 0.0
    taken = 0
    for _ in itertools.repeat(None, _TURN):
        if line.kind.refilled:
            await _trigger(line, [None] * _PLACES)
        began = time.perf_counter()
        look = await in_transaction(
            line.pool, lambda tx: claiming.claim(tx, line.environment, worker, places=_PLACES, effects=Effects())
        )
        claimed, assignments = time.perf_counter(), look.runs
        await _end(line, assignments)
        waiting += claimed - began
        ending += time.perf_counter() - claimed
        taken += len(assignments)
        if len(assignments) < _PLACES:
            raise RuntimeError(
                f"{line.kind.name}: claimed {len(assignments)} of {_PLACES} runs; the line was too short"
            )
    return taken / waiting, taken / (waiting + ending)


async def _end(line: Line, assignments: Sequence[Assignment]) -> None:
    worker = ids.parse(ids.WORKER, line.worker)
    outcomes = [Succeeded(run.run_id, run.epoch, 1, msgspec.Raw(b"null")) for run in assignments]
    lost = await in_transaction(
        line.pool, lambda tx: attempts.report(tx, line.environment, worker, outcomes, effects=Effects())
    )
    if lost:
        raise RuntimeError(f"{line.kind.name}: {len(lost)} runs were lost")
