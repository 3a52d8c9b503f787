import datetime

import msgspec
import pytest

from oncue.engine import batch_creating, batch_reading, giving_up
from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BadRequest, LeaseLost, UnprocessableRequest
from oncue.protocol.triggers import BatchItem, BatchView, CreateBatchRequest, TriggerOptions
from oncue.protocol.work import BatchSettled, ChildFailed, ChildSucceeded
from tests.engine.conftest import Engine, request


def item(index: int, task: str = "t", **options: object) -> BatchItem:
    return BatchItem(index, task, msgspec.Raw(str(index).encode()), TriggerOptions(**options))  # type: ignore[arg-type]


async def view(engine: Engine, batch: str) -> BatchView:
    return await engine.run(lambda tx: batch_reading.retrieve(tx, engine.environment, ids.parse(ids.BATCH, batch)))


async def test_batch_seals_when_every_item_is_there(engine: Engine) -> None:
    worker = await engine.announce("t")
    batch = await engine.create_batch(3)

    partly = await engine.fill_batch(batch, item(0), item(2))
    fully = await engine.fill_batch(batch, item(0), item(1), item(2))
    again = await engine.fill_batch(batch, item(1))
    sealed = await view(engine, batch)
    runs = await engine.claim(worker)
    await engine.succeed(worker, *runs)
    done = await view(engine, batch)

    assert (partly, fully, again) == ((2, 0, False), (1, 2, True), (0, 0, True))
    assert sealed.status == "PROCESSING"
    runs.sort(key=lambda run: run.run_id)
    assert [run.run_id for run in runs] == sealed.runs
    assert [bytes(run.payload) for run in runs] == [b"0", b"1", b"2"]
    assert [run.batch_index for run in runs] == [0, 1, 2]
    assert done.status == "COMPLETED"


async def test_parent_of_a_batch_resumes_when_all_have_ended(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    batch = await engine.create_batch(
        2,
        parent_run_id=parent.run_id,
        parent_epoch=parent.epoch,
        parent_worker_id=ids.show(ids.WORKER, worker),
        resume_parent_on_completion=True,
    )
    waiting = await engine.status(parent.run_id)
    await engine.fill_batch(batch, item(0), item(1))
    first, second = await engine.claim(worker)

    await engine.succeed(worker, first, output=b'"one"')
    early = await engine.notices(worker)
    await engine.fail(worker, second)
    (notice,) = await engine.notices(worker)
    results = await engine.run(
        lambda tx: batch_reading.read_results(tx, engine.environment, ids.parse(ids.BATCH, batch), after=0, limit=1_000)
    )
    child = await engine.retrieve(first.run_id)

    assert (waiting, early) == ("WAITING", [])
    assert isinstance(notice, BatchSettled)
    assert (notice.batch_id, notice.run_count, notice.resumes, notice.aborted) == (batch, 2, True, None)
    assert isinstance(results[0], ChildSucceeded)
    assert bytes(results[0].output) == b'"one"'
    assert isinstance(results[1], ChildFailed)
    assert (child.trigger_function, child.depth, child.batch_id) == ("batchTriggerAndWait", 1, batch)
    assert child.related_runs.parent is not None
    assert child.related_runs.parent.id == parent.run_id
    assert await engine.succeed(worker, parent) == []


async def test_large_results_come_a_few_at_a_time(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    batch = ids.parse(ids.BATCH, await engine.create_batch(3))
    await engine.fill_batch(ids.show(ids.BATCH, batch), item(0), item(1), item(2))
    runs = await engine.claim(worker)
    await engine.succeed(worker, *runs, output=b'"' + b"x" * 5_000_000 + b'"')

    pages = [
        await engine.run(
            lambda tx, after=after: batch_reading.read_results(tx, engine.environment, batch, after=after, limit=1_000)  # type: ignore[misc]
        )
        for after in (0, 2)
    ]

    assert [len(page) for page in pages] == [2, 1]


async def test_large_notices_come_a_few_at_a_time(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    for number in range(3):
        await engine.wait_for(parent, worker, "t", call_key=f"wait:t#{number}")
    runs = await engine.claim(worker)
    await engine.succeed(worker, *runs, output=b'"' + b"x" * 5_000_000 + b'"')

    first = await engine.notices(worker)
    rest = await engine.notices(worker, acknowledged=[notice.notice_id for notice in first])

    assert (len(first), len(rest)) == (2, 1)


async def test_item_that_breaks_a_rule_fails_alone(engine: Engine) -> None:
    worker = await engine.announce("t")
    batch = await engine.create_batch(3)

    filled = await engine.fill_batch(batch, item(0), item(1, delay="soon"), item(2))
    claimed = await engine.claim(worker)
    bad = await engine.retrieve((await view(engine, batch)).runs[1])

    assert filled == (3, 0, True)
    assert [run.batch_index for run in claimed] == [0, 2]
    assert bad.status == "SYSTEM_FAILURE"
    assert bad.error is not None
    assert "options.delay: 'soon'" in bad.error.message


async def test_batch_of_refused_items_only_is_done_at_once(engine: Engine) -> None:
    batch = await engine.create_batch(1)

    await engine.fill_batch(batch, item(0, delay="soon"))

    assert (await view(engine, batch)).status == "COMPLETED"


async def test_batch_that_never_seals_is_aborted_and_told(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    batch = await engine.create_batch(
        2,
        parent_run_id=parent.run_id,
        parent_epoch=parent.epoch,
        parent_worker_id=ids.show(ids.WORKER, worker),
        resume_parent_on_completion=True,
    )
    await engine.fill_batch(batch, item(0))

    await engine.advance(datetime.timedelta(minutes=31))
    await engine.run(lambda tx: giving_up.abort_overdue(tx, engine.environment, effects=engine.effects))
    (notice,) = await engine.notices(worker)

    assert isinstance(notice, BatchSettled)
    assert notice.aborted == "not all items had been sent within 30 minutes"
    assert (await view(engine, batch)).status == "ABORTED"
    with pytest.raises(UnprocessableRequest, match="not PENDING"):
        await engine.fill_batch(batch, item(1))


async def test_open_batch_is_given_up_once_its_stream_is_silent(engine: Engine) -> None:
    batch = await engine.create_batch(0, open=True)
    for index in range(3):
        await engine.advance(datetime.timedelta(minutes=20))
        await engine.fill_batch(batch, item(index))
        await engine.run(lambda tx: giving_up.abort_overdue(tx, engine.environment, effects=engine.effects))
        assert (await view(engine, batch)).status == "PENDING"

    await engine.advance(datetime.timedelta(minutes=31))
    await engine.run(lambda tx: giving_up.abort_overdue(tx, engine.environment, effects=engine.effects))
    assert (await view(engine, batch)).status == "ABORTED"


async def test_batch_given_up_by_its_caller_lets_the_parent_go_on(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    waiting = {
        "parent_run_id": parent.run_id,
        "parent_epoch": parent.epoch,
        "parent_worker_id": ids.show(ids.WORKER, worker),
        "resume_parent_on_completion": True,
    }
    given_up = ids.parse(ids.BATCH, await engine.create_batch(2, **waiting))
    full = await engine.create_batch(1)
    await engine.fill_batch(full, item(0))

    answers = [
        await engine.run(
            lambda tx, key=key: giving_up.give_up(tx, engine.environment, key, reason="broken", effects=engine.effects)  # type: ignore[misc]
        )
        for key in (given_up, ids.parse(ids.BATCH, full))
    ]
    (notice,) = await engine.notices(worker)

    assert [answer.sealed for answer in answers] == [False, True]
    assert isinstance(notice, BatchSettled)
    assert (notice.aborted, notice.resumes) == ("broken", True)
    assert await engine.status(parent.run_id) == "EXECUTING"
    assert (await view(engine, full)).status == "PROCESSING"


async def test_same_batch_id_sent_twice_makes_one_batch(engine: Engine) -> None:
    minted = ids.new_batch_id()

    first = await engine.create_batch(2, id=minted)
    await engine.fill_batch(first, item(0))
    second = await engine.create_batch(2, id=minted)

    assert first == second == minted
    assert await engine.fill_batch(minted, item(1)) == (1, 0, True)


@pytest.mark.parametrize("count", [0, -1, 1_001])
async def test_run_count_out_of_range_is_refused(engine: Engine, count: int) -> None:
    with pytest.raises(BadRequest, match=str(count)):
        await engine.create_batch(count)


async def test_index_beyond_the_run_count_is_refused(engine: Engine) -> None:
    batch = await engine.create_batch(2)

    with pytest.raises(UnprocessableRequest, match="index 2"):
        await engine.fill_batch(batch, item(2))


async def test_lost_parent_cannot_create_a_batch_to_wait_for(engine: Engine) -> None:
    worker = await engine.announce("parent")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)

    with pytest.raises(LeaseLost):
        await engine.create_batch(
            1,
            parent_run_id=parent.run_id,
            parent_epoch=parent.epoch + 1,
            parent_worker_id=ids.show(ids.WORKER, worker),
            resume_parent_on_completion=True,
        )


async def test_lost_parent_fails_alone_among_many_triggers(engine: Engine) -> None:
    worker = await engine.announce("parent", "t")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    stale = request(
        parent_run_id=parent.run_id,
        parent_epoch=parent.epoch + 1,
        parent_worker_id=ids.show(ids.WORKER, worker),
        resume_parent_on_completion=True,
    )

    first, refused, last = await engine.trigger_many(("t", request()), ("t", stale), ("t", request()))

    assert isinstance(refused, LeaseLost)
    assert not isinstance(first, ApiError)
    assert not isinstance(last, ApiError)
    assert len(await engine.claim(worker)) == 2


async def test_key_used_for_a_batch_names_the_same_batch(engine: Engine) -> None:
    async def create() -> str:
        made = await engine.run(
            lambda tx: batch_creating.create(
                tx, engine.environment, CreateBatchRequest(2), request_key="k", effects=engine.effects
            )
        )
        return made.response.id

    assert await create() == await create()
