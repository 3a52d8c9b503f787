"""Everything is killed, stopped and restarted every few seconds, and nothing is lost.

Two servers, three workers and a PostgreSQL of its own, which crashes as well. Callers trigger families of runs all the
while; what was acknowledged is held against what the database, and a ledger that the tasks write outside of it, say in
the end.
"""

import asyncio
import contextlib
import datetime
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from oncue import ApiError, RunHandle, tasks
from oncue.protocol import ids
from oncue.store.embedded import EmbeddedPostgres
from oncue.store.migrate import migrate
from oncue.store.pool import connect
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import Program, Server, Stack, called, eventually

PROGRAM = "tests.crash.program"
# Havoc hits whoever is there: no run is to blame that loses its worker again and again.
SETTINGS: dict[str, Any] = {
    "max_recoveries": 1_000,
    "lease": datetime.timedelta(seconds=2),
    "heartbeat": datetime.timedelta(seconds=0.4),
    "claim_wait": datetime.timedelta(seconds=2),
}
WORKERS = 3
QUIET_S = 90

_OVERFULL = """
select lane.id, lane.slots, count(*) as executing
from oncue.live as live
join oncue.lanes as lane on lane.id = live.slot_lane
where lane.slots is not null
group by lane.id, lane.slots
having count(*) > lane.slots
"""

_LEFT = """
select run.task, live.status::text as status, live.run_id, live.epoch, live.attempt, live.recoveries, live.waits_left,
    live.due_at - now() as due, worker.lease_until - now() as lease,
    (
        select json_agg(wait)
        from oncue.waits as wait
        where wait.env_id = live.env_id and wait.run_id = live.run_id
    ) as waits
from oncue.live as live
join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
left join oncue.workers as worker on worker.id = live.worker_id
order by run.parent_id nulls first
limit 20
"""

_FAMILIES = """
select parent.id, parent.task, parent.status::text as status, parent.output, parent.attempts, parent.error,
    count(child.id) as children,
    count(child.id) filter (where child.status = 'COMPLETED_SUCCESSFULLY') as completed
from oncue.runs as parent
left join oncue.runs as child on child.env_id = parent.env_id and child.parent_id = parent.id
where parent.parent_id is null
group by parent.env_id, parent.id, parent.task, parent.status, parent.output, parent.attempts, parent.error
"""


async def until_passed(seconds: float) -> None:
    """Let havoc have its pace: nothing in here waits for anything but time."""
    await asyncio.sleep(seconds)


class Havoc:
    """The stack, and what is done to it."""

    def __init__(self, folder: Path, url: str, chance: random.Random) -> None:
        self.stack = Stack(folder, url)
        self.url = url
        self.chance = chance
        self.servers: list[Server] = [self.stack.start_server(**SETTINGS) for _ in range(2)]
        self.workers: list[Program] = []
        self.done: Counter[str] = Counter()
        for _ in range(WORKERS):
            self._start_worker()

    async def strike(self) -> None:
        """Do one thing of those that happen."""
        blows: list[Callable[[], Awaitable[None]]] = [
            self.kill_worker,
            self.kill_worker,
            self.end_worker,
            self.freeze_worker,
            self.kill_server,
            self.drop_connections,
            self.crash_postgres,
        ]
        blow = self.chance.choice(blows)
        await blow()
        self.done[blow.__name__] += 1

    async def kill_worker(self) -> None:
        self._taken_worker().kill()
        self._start_worker()

    async def end_worker(self) -> None:
        self._taken_worker().signal(signal.SIGTERM)
        self._start_worker()

    async def freeze_worker(self) -> None:
        worker = self.chance.choice(self.workers)
        worker.signal(signal.SIGSTOP)
        await until_passed(3)
        worker.signal(signal.SIGCONT)

    async def kill_server(self) -> None:
        server = self.chance.choice(self.servers)
        server.kill()
        port = urlsplit(server.url).port or 0
        self.servers[self.servers.index(server)] = await asyncio.to_thread(
            self.stack.start_server, port=port, **SETTINGS
        )

    async def drop_connections(self) -> None:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(self.url)
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
            await connection.close()

    async def crash_postgres(self) -> None:
        """Kill one of its processes, so that it ends all others and recovers."""
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(self.url)
            os.kill(connection.get_server_pid(), signal.SIGKILL)
            connection.terminate()

    def _taken_worker(self) -> Program:
        return self.workers.pop(self.chance.randrange(len(self.workers)))

    def _start_worker(self) -> None:
        server = self.chance.choice(self.servers)
        self.workers.append(self.stack.start_worker(PROGRAM, server=server, grace="1"))


@pytest.fixture
async def havoc(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Havoc]:
    # Durable, for what is acknowledged has to survive its crash.
    postgres = EmbeddedPostgres(made)
    await postgres.start()
    connection = await connect(postgres.url)
    await migrate(connection)
    await connection.close()
    seed = request.config.getoption("randomly_seed", 0)
    made_havoc = Havoc(tmp_path, postgres.url, random.Random(seed))
    yield made_havoc
    made_havoc.stack.close()
    await postgres.stop()


async def call(acknowledged: list[RunHandle[Any]], ledger: Path, chance: random.Random, over: asyncio.Event) -> None:
    """Trigger families one after the other; what is refused or lost on the way was not acknowledged."""
    while not over.is_set():
        task_id = chance.choice(["crash-parent", "crash-plain-parent"])
        with contextlib.suppress(ApiError):
            acknowledged.append(await tasks.trigger(task_id, [str(ledger), len(acknowledged)]))
        await until_passed(0.1)


async def watch(url: str, seen: list[Any]) -> None:
    """Look again and again whether a lane executes more than it may."""
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(url)
            seen += await connection.fetch(_OVERFULL)
            await connection.close()
        await until_passed(0.2)


async def strikes(havoc: Havoc, seconds: float) -> None:
    """Strike every one or two seconds."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await havoc.strike()
        await until_passed(havoc.chance.uniform(0.5, 2.5))


async def outages(havoc: Havoc, count: int) -> None:
    """Take PostgreSQL away, or every connection to it, again and again."""
    for number in range(count):
        await (havoc.drop_connections() if number % 2 else havoc.crash_postgres())
        await until_passed(havoc.chance.uniform(1, 2.5))


async def survives(havoc: Havoc, folder: Path, happening: Awaitable[None]) -> None:
    ledger, acknowledged, overfull = folder / "ledger", [], []  # type: ignore[var-annotated]
    over = asyncio.Event()
    with called(havoc.servers[0]):
        watching = asyncio.create_task(watch(havoc.url, overfull))
        calling = [asyncio.create_task(call(acknowledged, ledger, havoc.chance, over)) for _ in range(3)]
        await happening
        over.set()
        await asyncio.gather(*calling)

        left = await _left_after(havoc, QUIET_S)
        watching.cancel()
    assert left == [], dict(havoc.done)

    connection = await asyncpg.connect(havoc.url)
    families = await connection.fetch(_FAMILIES)
    ended = {run for (run,) in await connection.fetch("select id from oncue.runs where status is not null")}
    await connection.close()
    assert overfull == []
    _assert_nothing_is_lost(acknowledged, families, ended, lines(ledger))
    said = [server.said for server in havoc.stack.programs if isinstance(server, Server)]
    assert [text for text in said if "invariant.violated" in text] == []


async def _left_after(havoc: Havoc, seconds: float) -> list[dict[str, Any]]:
    """Return the runs in progress, as soon as there are none."""
    left: list[dict[str, Any]] = []

    async def is_quiet() -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(havoc.url)
            left[:] = [dict(row) for row in await connection.fetch(_LEFT)]
            await connection.close()
            return not left
        return False

    with contextlib.suppress(AssertionError):
        await eventually(is_quiet, "every run ends", within_s=seconds)
    return left


def _assert_nothing_is_lost(
    acknowledged: list[RunHandle[Any]], families: list[Any], ended: set[Any], noted: list[str]
) -> None:
    known = {ids.show(ids.RUN, row["id"]): row for row in families}
    assert len(acknowledged) > 10
    assert [handle.id for handle in acknowledged if handle.id not in known] == []
    wrong = [
        (run, row["task"], row["status"], row["output"], row["children"], row["completed"], row["error"])
        for run, row in known.items()
        if (row["status"], row["output"], row["children"], row["completed"], row["attempts"])
        != ("COMPLETED_SUCCESSFULLY", "1111", 4, 4, 1)
    ]
    assert wrong == [], "\n".join(map(str, wrong))
    leaves = {line.split()[1] for line in noted if line.startswith("leaf ")}
    assert len(leaves) == 4 * len(known)
    assert {ids.show(ids.RUN, run) for run in ended} == leaves | set(known)


@pytest.mark.timeout(240)
async def test_thirty_seconds_of_havoc_lose_nothing(havoc: Havoc, tmp_path: Path) -> None:
    await survives(havoc, tmp_path, strikes(havoc, 30))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_five_minutes_of_havoc_lose_nothing(havoc: Havoc, tmp_path: Path) -> None:
    await survives(havoc, tmp_path, strikes(havoc, 300))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_twenty_outages_of_postgresql_lose_nothing(havoc: Havoc, tmp_path: Path) -> None:
    await survives(havoc, tmp_path, outages(havoc, 20))
