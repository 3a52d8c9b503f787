"""Limit: what this PostgreSQL allows at this moment, to anybody.

Bare asyncpg on the smallest tables that could hold a queue: one row is inserted, claimed and completed, each in a
transaction of its own for a group of 100, on two connections. No HTTP, no limits, no history, no checks: oncue cannot
be faster than this, and the ratio says how much it costs beyond it.
"""

import asyncio
import time
from typing import Final

import asyncpg

from bench import figures, stack
from bench.figures import Figure
from bench.measuring import BATCH, Bench

_CONNECTIONS: Final = 2
_GROUP: Final = 100
_PACE_S: Final = 0.05

_SCHEMA: Final = """
create table run (id bigint primary key, payload text not null, finished_at timestamptz) with (fillfactor = 80);
create table in_line (id bigint primary key)
    with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create table leased (id bigint primary key, until timestamptz not null)
    with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
"""

TABLE_OF_COPY: Final = "create table copied (id bigint primary key, payload text not null)"

_INSERT: Final = """
with made as (
    insert into run (id, payload)
    select id, id::text
    from unnest($1::bigint[]) as id
    returning id
)
insert into in_line (id)
select id
from made
"""

_CLAIM: Final = """
with next as (
    delete from in_line
    where ctid = any (array (
        select ctid
        from in_line
        order by id
        limit $1
        for update skip locked
    ))
    returning id
)
insert into leased (id, until)
select id, now() + interval '1 minute'
from next
returning id
"""

_COMPLETE: Final = """
with done as (
    delete from leased
    where id = any ($1::bigint[])
    returning id
)
update run
set finished_at = now()
from done
where run.id = done.id
"""


async def measure(bench: Bench) -> list[Figure]:
    """Measure the bare cycle, its second half, COPY, a lone commit and a lone hand-over."""
    rows, rounds = bench.scale.limit_rows, bench.scale.rounds
    async with stack.database(bench.postgres, "bare") as url:
        admin = await asyncpg.connect(url)
        connections = [await asyncpg.connect(url) for _ in range(_CONNECTIONS)]
        try:
            await admin.execute(_SCHEMA + TABLE_OF_COPY)
            cycles, drains, copies = [], [], []
            for turn in range(rounds):
                bench.say(f"bare cycle of {rows:,} rows, {turn + 1} of {rounds}")
                cycles.append(await _cycle(connections, rows, first=2 * turn * rows))
                drains.append(await _drain(connections, rows, first=(2 * turn + 1) * rows))
                copies.append(await copied(admin, rows, first=turn * rows))
            bench.say("lone commits and hand-overs")
            commits, handovers = await _lone(connections[0], connections[1], bench.scale.lone // 2)
        finally:
            for connection in (admin, *connections):
                await connection.close()
    return [
        figures.rate("limit.cycle", "bare insert, claim, complete in groups of 100", cycles),
        figures.rate("limit.drain", "bare claim, complete in groups of 100", drains),
        figures.rate("limit.copy", "bare COPY of 1,000 rows at once", copies),
        figures.spread("limit.commit", "bare lone insert, committed", commits),
        figures.spread("limit.handover", "bare lone insert, notified, claimed elsewhere", handovers),
    ]


async def cycle(bench: Bench) -> float:
    """Take the bare cycle once more, in rows a second: for a measurement that compares itself round by round."""
    async with stack.database(bench.postgres, "bare") as url:
        connections = [await asyncpg.connect(url) for _ in range(_CONNECTIONS)]
        try:
            await connections[0].execute(_SCHEMA + TABLE_OF_COPY)
            return await _cycle(connections, bench.scale.limit_rows, first=0)
        finally:
            for connection in connections:
                await connection.close()


async def _cycle(connections: list[asyncpg.Connection], rows: int, *, first: int) -> float:
    share = rows // len(connections)
    began = time.perf_counter()
    await asyncio.gather(*(
        _work(connection, share, first=first + turn * share, inserts=True)
        for turn, connection in enumerate(connections)
    ))  # fmt: skip
    return share * len(connections) / (time.perf_counter() - began)


async def _drain(connections: list[asyncpg.Connection], rows: int, *, first: int) -> float:
    for start in range(first, first + rows, BATCH):
        await connections[0].execute(_INSERT, list(range(start, start + BATCH)))
    share = rows // len(connections)
    began = time.perf_counter()
    await asyncio.gather(*(_work(connection, share, first=0, inserts=False) for connection in connections))
    return share * len(connections) / (time.perf_counter() - began)


async def _work(connection: asyncpg.Connection, rows: int, *, first: int, inserts: bool) -> None:
    for start in range(first, first + rows, _GROUP):
        if inserts:
            await connection.execute(_INSERT, list(range(start, start + _GROUP)))
        claimed = [row["id"] for row in await connection.fetch(_CLAIM, _GROUP)]
        await connection.execute(_COMPLETE, claimed)


async def copied(connection: asyncpg.Connection, rows: int, *, first: int) -> float:
    """Copy rows into the table, 1,000 at once; return rows a second."""
    began = time.perf_counter()
    for start in range(first, first + rows, BATCH):
        records = [(number, str(number)) for number in range(start, start + BATCH)]
        await connection.copy_records_to_table("copied", records=records)
    return rows / (time.perf_counter() - began)


async def _lone(caller: asyncpg.Connection, claimer: asyncpg.Connection, count: int) -> tuple[list[float], list[float]]:
    """Insert one row at a time, 20 a second; return how long the commit and the way to another connection took."""
    heard = asyncio.Event()
    await claimer.add_listener("bare", lambda *_: heard.set())
    commits, handovers = [], []
    for number in range(-count, 0):
        began = time.perf_counter()
        async with caller.transaction():
            await caller.execute(_INSERT, [number])
            await caller.execute("select pg_notify('bare', '')")
        commits.append(time.perf_counter() - began)
        await heard.wait()
        heard.clear()
        claimed = await claimer.fetch(_CLAIM, 1)
        handovers.append(time.perf_counter() - began)
        await claimer.execute(_COMPLETE, [row["id"] for row in claimed])
        await asyncio.sleep(max(0.0, began + _PACE_S - time.perf_counter()))
    return commits, handovers
