"""Single blows at the worst moments: to a worker that is idle or holds a thousand parked parents, to a server that has
committed and not answered, or is in the middle of a batch, and to a deploy's old worker."""

import asyncio
import datetime
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from oncue import RunHandle, item, runs, tasks
from oncue.protocol import ids
from oncue.sdk.run import Run
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import Stack, called, eventually

PROGRAM = "tests.crash.program"
SHORT_LEASE: dict[str, Any] = {
    "lease": datetime.timedelta(seconds=2),
    "heartbeat": datetime.timedelta(seconds=0.4),
    "claim_wait": datetime.timedelta(seconds=2),
}
PARENTS = 1_000


async def _ended(handle: RunHandle[object]) -> Run:
    return await runs.poll(handle, interval=0.1, timeout=40)


async def _count(stack: Stack, condition: str) -> int:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return int(await connection.fetchval(f"select count(*) from oncue.live where {condition}"))
    finally:
        await connection.close()


async def test_idle_worker_that_is_killed_takes_nothing_with_it(own_stack: Stack, tmp_path: Path) -> None:
    with called(own_stack.start_server(**SHORT_LEASE)):
        idle = own_stack.start_worker(PROGRAM)
        await idle.announced()
        idle.kill()
        handles = [await tasks.trigger("crash-plain-leaf", [str(tmp_path / "ledger"), number]) for number in range(20)]
        own_stack.start_worker(PROGRAM)

        ended = [await _ended(handle) for handle in handles]
    assert [(run.status, run.output, run.attempt_count) for run in ended] == [
        ("COMPLETED", number, 1) for number in range(20)
    ]


@pytest.mark.timeout(180)
async def test_thousand_parked_parents_outlive_their_worker(own_stack: Stack, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    with called(own_stack.start_server(**SHORT_LEASE)):
        first = own_stack.start_worker(PROGRAM)
        handle = await tasks.batch_trigger(
            "crash-gated-parent", [item([str(ledger), str(gate), number]) for number in range(PARENTS)]
        )
        parked = "status = 'WAITING_TO_RESUME'"
        await eventually(lambda: are(own_stack, parked, PARENTS), "all are parked", within_s=60)
        first.kill()
        own_stack.start_worker(PROGRAM)
        gate.touch()
        await eventually(lambda: are(own_stack, "true", 0), "all end", within_s=90)

        results = await runs_of(own_stack, handle.id)
    assert results == {("COMPLETED_SUCCESSFULLY", number) for number in range(PARENTS)}
    # Each child ran once, although its parent started twice.
    assert len(lines(ledger)) == len(set(lines(ledger))) == PARENTS


async def test_parked_parents_of_a_deploy_wait_without_a_worker(own_stack: Stack, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    with called(own_stack.start_server(**SHORT_LEASE)):
        old = own_stack.start_worker(PROGRAM, grace="0.2")
        handle = await tasks.trigger("crash-gated-parent", [str(ledger), str(gate), 7])
        await eventually(lambda: are(own_stack, "status = 'WAITING_TO_RESUME'", 1), "it is parked")
        old.signal(signal.SIGTERM)
        assert await old.ended() == 0
        assert await _count(own_stack, "status = 'WAITING_TO_RESUME' and worker_id is null") == 1
        assert (await handle.retrieve()).status == "WAITING"

        new = own_stack.start_worker(PROGRAM)
        await new.announced()
        gate.touch()
        ended = await _ended(handle)
    assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", 7, 1)
    assert len(set(lines(ledger))) == 1


async def test_server_killed_in_the_middle_of_batches_leaves_no_half(own_stack: Stack, tmp_path: Path) -> None:
    server = own_stack.start_server(**SHORT_LEASE)
    ledger = str(tmp_path / "ledger")
    with called(server):
        own_stack.start_worker(PROGRAM)
        calls = [
            asyncio.create_task(
                tasks.batch_trigger("crash-plain-leaf", [item([ledger, number]) for number in range(500)])
            )
            for _ in range(6)
        ]
        await eventually(lambda: _some(own_stack), "the first runs are there")
        server.kill()
        port = urlsplit(server.url).port or 0
        await asyncio.to_thread(own_stack.start_server, port=port, **SHORT_LEASE)
        handles = await asyncio.gather(*calls)
        await eventually(lambda: are(own_stack, "true", 0), "all end", within_s=60)

        found = [await runs_of(own_stack, handle.id) for handle in handles]
    # The calls were sent again, and made nothing twice.
    assert found == [{("COMPLETED_SUCCESSFULLY", number) for number in range(500)}] * 6
    connection = await asyncpg.connect(own_stack.database_url)
    assert await connection.fetchval("select count(*) from oncue.runs") == 3_000
    await connection.close()


async def test_trigger_whose_answer_was_lost_makes_one_run(own_stack: Stack, tmp_path: Path) -> None:
    server = own_stack.start_server(**SHORT_LEASE)
    locked = await asyncpg.connect(own_stack.database_url)
    with called(server):
        worker = own_stack.start_worker(PROGRAM)
        await worker.announced()
        # The commit is held up by a lock, and the server killed before it can answer.
        transaction = locked.transaction()
        await transaction.start()
        await locked.execute("lock table oncue.runs in share mode")
        call = asyncio.create_task(tasks.trigger("crash-plain-leaf", [str(tmp_path / "ledger"), 5]))
        await eventually(lambda: is_blocked(own_stack), "the insert waits")
        server.kill()
        await transaction.rollback()
        port = urlsplit(server.url).port or 0
        await asyncio.to_thread(own_stack.start_server, port=port, **SHORT_LEASE)
        ended = await _ended(await call)
    assert (ended.status, ended.output) == ("COMPLETED", 5)
    assert await locked.fetchval("select count(*) from oncue.runs") == 1
    await locked.close()


async def runs_of(stack: Stack, batch_id: str) -> set[tuple[str, object]]:
    connection = await asyncpg.connect(stack.database_url)
    try:
        found = await connection.fetch(
            "select status::text, output from oncue.runs where batch_id = $1", ids.parse(ids.BATCH, batch_id)
        )
    finally:
        await connection.close()
    return {(row["status"], int(row["output"])) for row in found}


async def are(stack: Stack, condition: str, count: int, *, at_least: bool = False) -> bool:
    found = await _count(stack, condition)
    return found >= count if at_least else found == count


async def _some(stack: Stack) -> bool:
    return await _count(stack, "true") > 0


async def is_blocked(stack: Stack) -> bool:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return bool(
            await connection.fetchval(
                "select exists (select from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock')"
            )
        )
    finally:
        await connection.close()
