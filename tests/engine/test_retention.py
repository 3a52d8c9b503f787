"""What is too old to be kept goes by the day, and its objects with it."""

import asyncio
import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from oncue.engine import environments, reading, retention, upkeep
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
        await self._make_partition(day)
        return await self.engine.trigger(task, run_id=ids.show(ids.RUN, id_of(day)), **options)

    async def batch(self, day: datetime.date) -> str:
        await self._make_partition(day)
        made = await self.engine.create_batch(1, id=ids.show(ids.BATCH, id_of(day)))
        await self.engine.fill_batch(made, BatchItem(0, "t"))
        return made

    async def _make_partition(self, day: datetime.date) -> None:
        await self.engine.pool.execute("select oncue.make_runs_partition($1::date)", day)

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

    async def log(self, day: datetime.date) -> None:
        await self.engine.pool.execute(
            "insert into oncue.run_logs (env_id, run_id, epoch, number, attempt, at, level, message)"
            " values (1, $1, 1, 1, 1, now(), 'info', 'x')",
            id_of(day),
        )

    async def stream(self, day: datetime.date) -> None:
        for table, columns, values in (
            ("run_streams", "chunks", "1"),
            ("stream_chunks", "number, writer, part, data", "0, 'w', 0, '1'"),
            ("run_inputs", "number, part, data", "0, 'a', '1'"),
        ):
            await self.engine.pool.execute(
                f"insert into oncue.{table} (env_id, run_id, key, {columns}) values (1, $1, 'words', {values})",
                id_of(day),
            )

    async def place(self) -> str:
        return (await in_transaction(self.engine.pool, environments.storages))[0].place

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
    await history.log(OLD)
    await history.log(TODAY)
    await history.stream(OLD)
    await history.stream(TODAY)
    # Minted so many days ago, and settled after so many more, or never.
    await history.engine.pool.execute(
        "insert into oncue.waitpoints (env_id, id, is_token, settled_at)"
        " select 1, oncue.id_at(now() - minted * interval '1 day'), true, now() - settled * interval '1 day'"
        " from unnest(array[60, 50, 51, 10], array[null, 40, 1, 5]) as told(minted, settled)"
    )
    await history.engine.pool.execute(
        "insert into oncue.bulk_actions (env_id, id, type, status, total, finished_at)"
        " select 1, oncue.id_at(now() - made * interval '1 day'), 'CANCEL',"
        "   case when ended is null then 'PENDING' else 'COMPLETED' end, 1, now() - ended * interval '1 day'"
        " from unnest(array[60, 50, 51, 10], array[null, 40, 1, 5]) as told(made, ended)"
    )
    await history.engine.pool.execute(
        "insert into oncue.bulk_runs (env_id, action_id, run_id) select env_id, id, id from oncue.bulk_actions"
    )
    await history.engine.pool.execute("update oncue.runs_default set finished_at = now() - interval '31 days'")
    await history.engine.pool.execute("update oncue.batches set finished_at = now() - interval '39 days'")

    await history.forget()

    assert not await history.is_there(stray)
    assert (await history.count("run_logs"), await history.count("waitpoints")) == (1, 3)
    assert (await history.count("run_streams"), await history.count("stream_chunks")) == (1, 1)
    assert await history.count("run_inputs") == 1
    assert (await history.count("bulk_runs"), await history.count("bulk_actions")) == (3, 3)
    assert await history.engine.pool.fetchval("select id from oncue.batches") == ids.parse(ids.BATCH, new)


async def test_objects_go_once_no_run_names_them(history: History) -> None:
    place = await history.place()
    for age in (60, 41, 40, 39, 35, 31, 30, 0):
        await history.objects.put(f"{place}/{TODAY - age * DAY}/a", b"1", "application/json")
    for elses in ("2020-01-31/logs", f"{place}/20200131/dump", f"{place}/2020-W10-1/dump", "prod-other/2020-01-31/a"):
        await history.objects.put(elses, b"1", "application/json")
    held = await history.trigger(OLD, delay="400d")
    # What a debounced run is given may come long after it was triggered; so may what a run returns.
    await history.engine.pool.execute(
        "update oncue.runs set payload_type = 'application/store', payload = $1", f'"{TODAY - 35 * DAY}/a"'
    )

    await history.forget()
    ages = {
        (TODAY - datetime.date.fromisoformat(day)).days for day in await history.objects.below(place) if len(day) == 10
        and day[4] == "-" and "W" not in day
    }  # fmt: skip
    assert ages == {35, 31, 30, 0}

    await history.engine.cancel(held)
    await history.forget()
    assert f"{TODAY - 35 * DAY}" not in await history.objects.below(place)
    for elses in ("2020-01-31/logs", f"{place}/20200131/dump", f"{place}/2020-W10-1/dump", "prod-other/2020-01-31/a"):
        assert await history.objects.size(elses) == 1


async def test_writers_wait_for_no_lock_that_is_not_to_be_had(history: History) -> None:
    old, stays = await history.trigger(OLD), await history.trigger(OLD + DAY, delay="400d")
    other = await history.trigger(OLD + 2 * DAY)
    worker = await history.engine.announce("t")
    await history.engine.succeed(worker, *await history.engine.claim(worker))
    await history.log(OLD)
    async with history.engine.pool.acquire() as connection, connection.transaction():
        await connection.execute("select count(*) from oncue.runs")
        async with asyncio.timeout(10):
            await history.forget()
        # What needs no lock is done all the same.
        assert await history.count("run_logs") == 1

    assert [await history.is_there(run) for run in (old, stays, other)] == [True, True, True]
    await history.forget()
    assert [await history.is_there(run) for run in (old, stays, other)] == [False, True, False]
    assert await history.count("run_logs") == 0


async def test_days_that_stay_keep_what_belongs_to_their_runs(history: History) -> None:
    await history.batch(OLD)
    await history.finish_all()
    await history.trigger(OLD, delay="400d")
    await history.log(OLD)
    await history.log(OLD + DAY)
    await history.engine.pool.execute("update oncue.batches set finished_at = now() - interval '39 days'")

    await history.forget()

    assert (await history.count("batches"), await history.count("run_logs")) == (1, 1)
