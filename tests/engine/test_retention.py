"""What is too old to be kept goes by the day, and its objects with it."""

import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from oncue.engine import reading, retention, upkeep
from oncue.protocol import ids
from oncue.protocol.errors import NotFound
from oncue.protocol.triggers import BatchItem
from oncue.store.objects import Folder
from oncue.store.pool import in_transaction
from tests.engine.conftest import Engine

KEEP = datetime.timedelta(days=30)
DAY = datetime.timedelta(days=1)
TODAY = datetime.datetime.now(datetime.UTC).date()
OLD = TODAY - 40 * DAY


def id_of(day: datetime.date) -> uuid.UUID:
    noon = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
    return uuid.UUID(int=int(noon.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1)


class History:
    """An engine with runs of days that have passed."""

    def __init__(self, engine: Engine, objects: Folder) -> None:
        self.engine, self.objects = engine, objects

    async def trigger(self, day: datetime.date, task: str = "t", **options: Any) -> str:
        await in_transaction(
            self.engine.pool, lambda tx: tx.fetchval("select oncue.make_runs_partition($1::date)", day)
        )
        return await self.engine.trigger(task, run_id=ids.show(ids.RUN, id_of(day)), **options)

    async def batch(self, day: datetime.date) -> str:
        made = await self.engine.create_batch(1, id=ids.show(ids.BATCH, id_of(day)))
        await self.engine.fill_batch(made, BatchItem(0, "t"))
        return made

    async def finish_all(self) -> None:
        worker = await self.engine.announce("t")
        await self.engine.succeed(worker, *await self.engine.claim(worker))

    async def forget(self) -> None:
        await upkeep.forget_old(self.engine.pool, KEEP, self.objects)

    async def is_there(self, run: str) -> bool:
        try:
            await in_transaction(
                self.engine.pool,
                lambda tx: reading.retrieve(tx, self.engine.environment, ids.parse(ids.RUN, run)),
            )
        except NotFound:
            return False
        return True

    async def count(self, table: str) -> int:
        counted = await self.engine.pool.fetchval(f"select count(*) from oncue.{table}")
        return int(counted)

    async def days(self) -> list[datetime.date]:
        return await in_transaction(self.engine.pool, lambda tx: retention.old_days(tx, TODAY))


@pytest.fixture
async def history(engine: Engine, tmp_path: Path) -> History:
    return History(engine, Folder(tmp_path))


async def test_runs_of_days_before_go_and_others_stay(history: History) -> None:
    old, last_gone = await history.trigger(OLD), await history.trigger(TODAY - 31 * DAY)
    first_kept, new = await history.trigger(TODAY - 30 * DAY), await history.trigger(TODAY)
    await history.finish_all()

    await history.forget()

    assert [await history.is_there(run) for run in (old, last_gone, first_kept, new)] == [False, False, True, True]
    assert OLD not in await history.days()
    assert TODAY - 30 * DAY in await history.days()


async def test_day_with_a_run_that_has_not_ended_stays(history: History) -> None:
    ended, held = await history.trigger(OLD), await history.trigger(OLD, delay="400d")
    other = await history.trigger(OLD + DAY)
    await history.finish_all()

    await history.forget()
    assert [await history.is_there(run) for run in (ended, held, other)] == [True, True, False]

    await history.engine.cancel(held)
    await history.forget()
    assert [await history.is_there(run) for run in (ended, held)] == [False, False]


async def test_nothing_goes_that_a_run_in_progress_may_ask_for(history: History) -> None:
    parent, child = await history.trigger(OLD), await history.trigger(OLD + DAY, "child")
    before = await history.trigger(OLD - DAY, "child")
    worker = await history.engine.announce("t", "child")
    runs = {each.run_id: each for each in await history.engine.claim(worker)}
    await history.engine.succeed(worker, runs[child], runs[before])

    await history.forget()
    assert [await history.is_there(run) for run in (parent, child, before)] == [True, True, False]

    await history.engine.succeed(worker, runs[parent])
    await history.forget()
    assert [await history.is_there(run) for run in (parent, child)] == [False, False]


async def test_what_belongs_to_old_runs_goes_with_them(history: History) -> None:
    await history.batch(OLD)
    new = await history.batch(TODAY)
    stray = await history.engine.trigger("t", run_id=ids.show(ids.RUN, id_of(datetime.date(2020, 1, 1))))
    await history.finish_all()
    await history.engine.pool.execute(
        "insert into oncue.run_logs (env_id, run_id, epoch, number, attempt, at, level, message)"
        " select 1, oncue.id_at(now() - days * interval '1 day'), 1, 1, 1, now(), 'info', 'x'"
        " from unnest(array[50, 10]) as days"
    )
    await history.engine.pool.execute(
        "insert into oncue.waitpoints (env_id, id, is_token, settled_at)"
        " select 1, oncue.id_at(now() - days * interval '1 day'), true, case when days < 55 then now() end"
        " from unnest(array[60, 50, 10]) as days"
    )
    await history.engine.pool.execute("update oncue.runs_default set created_at = now() - interval '31 days'")

    await history.forget()

    assert not await history.is_there(stray)
    assert (await history.count("run_logs"), await history.count("waitpoints")) == (1, 2)
    assert await history.engine.pool.fetchval("select id from oncue.batches") == ids.parse(ids.BATCH, new)


async def test_objects_go_once_no_run_needs_them(history: History) -> None:
    for age in (60, 42, 41, 40, 39, 38, 32, 31, 30, 0):
        await history.objects.put(f"{TODAY - age * DAY}/1/a/document.json", b"1", "application/json")
    await history.objects.put("somebody/elses", b"1", "application/json")
    held = await history.trigger(OLD, delay="400d")

    await history.forget()
    # What a run was given may have been stored on the day before, and what it returned on the day after.
    left = {(TODAY - datetime.date.fromisoformat(day)).days for day in await history.objects.below("") if "-" in day}
    assert left == {41, 40, 39, 31, 30, 0}

    await history.engine.cancel(held)
    await history.forget()
    assert f"{OLD}" not in await history.objects.below("")
    assert "somebody" in await history.objects.below("")


async def test_writers_are_not_held_up_for_long(history: History) -> None:
    old = await history.trigger(OLD)
    await history.finish_all()
    async with history.engine.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table oncue.runs in row exclusive mode")
        with pytest.raises(Exception, match="lock timeout"):
            await history.forget()

    assert await history.is_there(old)
    await history.forget()
    assert not await history.is_there(old)
