"""Changes that come at once are all kept: each waits for the other's row."""

import asyncio
from typing import Any

import msgspec

from oncue.engine import attempts, run_metadata, run_tags
from oncue.engine.events import Effects
from oncue.protocol import ids
from oncue.protocol.errors import UnprocessableRequest
from oncue.protocol.metadata import AppendValue, IncrementNumber, MetadataUpdate, MetadataView
from oncue.protocol.work import Succeeded
from oncue.store.pool import open_pool, transaction
from tests.engine.conftest import Engine, until_blocked


async def change(engine: Engine, run: str, *, key: str | None = None, **fields: Any) -> MetadataView:
    wanted = run_metadata.plan(MetadataUpdate(**fields))
    run_id = ids.parse(ids.RUN, run)
    return await engine.run(
        lambda tx: run_metadata.change(tx, engine.environment, run_id, wanted, request_key=key, effects=engine.effects)
    )


async def read(engine: Engine, run: str) -> Any:
    view = await engine.run(lambda tx: run_metadata.read(tx, engine.environment, ids.parse(ids.RUN, run)))
    return msgspec.json.decode(view.metadata)


async def test_fifty_children_count_up_their_parent(engine: Engine, database_url: str) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (parent,) = await engine.claim(worker)
    children = [await engine.child(parent, worker, "t") for _ in range(50)]
    pool = await open_pool(database_url, min_size=25, max_size=25)
    many = Engine(pool, engine.environment)

    await asyncio.gather(
        *(
            change(
                many,
                child,
                operations=[IncrementNumber("n", 1)],
                parent_operations=[IncrementNumber("$.done.count", 1), AppendValue("$.done.who", _raw(index))],
                root_operations=[IncrementNumber("of_root", 2)],
            )
            for index, child in enumerate(children)
        ),
        *(change(many, parent.run_id, operations=[IncrementNumber("own", 1)]) for _ in range(50)),
    )
    await pool.close()

    found = await read(engine, parent.run_id)
    assert (found["done"]["count"], found["of_root"], found["own"]) == (50, 100, 50)
    assert sorted(found["done"]["who"]) == list(range(50))
    assert [await read(engine, child) for child in children] == [{"n": 1}] * 50


async def test_change_that_waits_for_another_sees_it(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")
    wanted = run_metadata.plan(MetadataUpdate(operations=[IncrementNumber("n", 1)]))

    async with transaction(engine.pool) as first:
        await run_metadata.change(first, engine.environment, ids.parse(ids.RUN, run), wanted, effects=engine.effects)
        second = asyncio.ensure_future(change(engine, run, operations=[IncrementNumber("n", 1)]))
        await until_blocked(engine)

    assert msgspec.json.decode((await second).metadata) == {"n": 2}


async def test_same_request_twice_at_once_counts_once(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")
    wanted = run_metadata.plan(MetadataUpdate(operations=[IncrementNumber("n", 1)]))

    async with transaction(engine.pool) as first:
        await run_metadata.change(
            first, engine.environment, ids.parse(ids.RUN, run), wanted, request_key="k", effects=engine.effects
        )
        again = asyncio.ensure_future(change(engine, run, key="k", operations=[IncrementNumber("n", 1)]))
        await until_blocked(engine)

    assert msgspec.json.decode((await again).metadata) == {"n": 1}


async def test_end_of_a_run_and_a_change_both_hold(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (run,) = await engine.claim(worker)

    async with transaction(engine.pool) as ending:
        outcome = [Succeeded(run.run_id, run.epoch, 1, _raw("out"))]
        await attempts.report(ending, engine.environment, worker, outcome, effects=Effects())
        late = asyncio.ensure_future(change(engine, run.run_id, operations=[IncrementNumber("n", 1)], epoch=run.epoch))
        await until_blocked(engine)
    await late

    view = await engine.retrieve(run.run_id)
    assert (view.status, bytes(view.output), bytes(view.metadata)) == ("COMPLETED", b'"out"', b'{"n":1}')


async def test_tags_added_at_once_are_all_kept(engine: Engine) -> None:
    await engine.announce("t")
    run = ids.parse(ids.RUN, await engine.trigger("t", tags=["m"]))

    async with transaction(engine.pool) as first:
        await run_tags.add(first, engine.environment, run, ["z"], effects=engine.effects)
        second = asyncio.ensure_future(
            engine.run(lambda tx: run_tags.add(tx, engine.environment, run, ["a", "z"], effects=engine.effects))
        )
        await until_blocked(engine)

    assert await second == 1
    assert (await engine.retrieve(ids.show(ids.RUN, run))).tags == ["a", "m", "z"]


async def test_tags_added_at_once_stay_within_the_limit(engine: Engine) -> None:
    await engine.announce("t")
    run = ids.parse(ids.RUN, await engine.trigger("t"))

    answers = await asyncio.gather(
        *(
            engine.run(
                lambda tx, added=[f"{number:02}"]: run_tags.add(  # type: ignore[misc]
                    tx, engine.environment, run, added, effects=engine.effects
                )
            )
            for number in range(15)
        ),
        return_exceptions=True,
    )

    assert sum(answer == 1 for answer in answers) == 10
    assert sum(isinstance(answer, UnprocessableRequest) for answer in answers) == 5
    assert len((await engine.retrieve(ids.show(ids.RUN, run))).tags) == 10


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
