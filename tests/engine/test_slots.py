import asyncio
import datetime
from collections import Counter

import pytest

from oncue.protocol import ids
from oncue.protocol.errors import UnprocessableRequest
from oncue.protocol.triggers import NestedQueue, QueueOption
from oncue.protocol.work import Assignment
from oncue.store.pool import in_transaction
from tests.engine.conftest import LEASE, NO_WAIT, Engine, declared, request


def limited(name: str, limit: int) -> QueueOption:
    return QueueOption(NestedQueue(name, limit))


async def test_queue_never_executes_more_than_its_limit(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=2))
    for _ in range(5):
        await engine.trigger("t")

    first = await engine.claim(worker)
    none = await engine.claim(worker)
    await engine.succeed(worker, first[0])
    second = await engine.claim(worker)

    assert (len(first), len(none), len(second)) == (2, 0, 1)


async def test_tasks_that_share_a_queue_share_its_limit(engine: Engine) -> None:
    worker = await engine.announce(
        declared("a", queue="q", concurrency_limit=3), declared("b", queue="q", concurrency_limit=3)
    )
    for _ in range(4):
        await engine.trigger("a")
        await engine.trigger("b")

    claimed = await engine.claim(worker)
    await engine.succeed(worker, *claimed)
    again = await engine.claim(worker)

    assert (len(claimed), len(again)) == (3, 3)


async def test_lines_before_a_full_lane_hide_no_other(engine: Engine) -> None:
    sharing = ("first", "a", "b", "d")
    worker = await engine.announce(*(declared(task, queue="q", concurrency_limit=1) for task in sharing), "c")
    await engine.trigger("first")
    assert len(await engine.claim(worker, 1)) == 1
    for task in ("a", "b", "d"):
        await engine.trigger(task)
    wanted = await engine.trigger("c")

    assert [run.run_id for run in await engine.claim(worker, 1)] == [wanted]


@pytest.mark.parametrize(("keys", "places"), [(5, 7), (30, 100), (60, 100), (13, 50)])
async def test_places_that_do_not_divide_favour_no_key(engine: Engine, keys: int, places: int) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    assert len(await engine.claim(worker)) == 1
    for number in range(20 * keys):
        await engine.trigger("t", concurrency_key=number % keys)

    started: Counter[str | None] = Counter()
    while started.total() < 10 * keys:
        started.update(run.concurrency_key for run in await engine.claim(worker, places))

    # A line may be one turn ahead of another: a run, or a 25th of the places, or its part of them.
    assert max(started.values()) - min(started.values()) <= max(1, places // 25, -(-places // keys))
    assert len(started) == keys


async def test_each_concurrency_key_has_the_whole_limit(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    keys = ["a", "b", "a,b", "*", "", "a"]
    for key in keys:
        await engine.trigger("t", **({"concurrency_key": key} if key else {}))

    claimed = await engine.claim(worker)

    assert sorted(run.concurrency_key or "" for run in claimed) == sorted(set(keys))


async def test_limit_given_with_a_trigger_is_honoured(engine: Engine) -> None:
    worker = await engine.announce("t")
    for _ in range(3):
        await engine.trigger("t", queue=limited("fresh", 1))

    assert len(await engine.claim(worker)) == 1


async def test_changed_limit_counts_runs_that_execute_already(engine: Engine) -> None:
    worker = await engine.announce("t")
    for _ in range(4):
        await engine.trigger("t", queue="q")
    executing = await engine.claim(worker, places=2)
    await engine.trigger("t", queue=limited("q", 2))

    held = await engine.claim(worker)
    await engine.trigger("t", queue=limited("q", 3))
    raised = await engine.claim(worker)
    await engine.succeed(worker, *executing)

    assert (len(executing), len(held), len(raised)) == (2, 0, 1)


async def test_limit_that_code_no_longer_declares_is_lifted(engine: Engine) -> None:
    await engine.announce(declared("t", queue="q", concurrency_limit=1))
    await engine.announce(declared("other", queue="q"))
    for _ in range(3):
        await engine.trigger("t")
    named_only = await engine.announce("t")
    held = await engine.claim(named_only)

    worker = await engine.announce(declared("t", queue="q", concurrency_limit=None))

    assert (len(held), len(await engine.claim(worker))) == (1, 2)


async def test_tasks_must_agree_on_the_limit_of_a_queue(engine: Engine) -> None:
    with pytest.raises(UnprocessableRequest, match="'q' is declared with concurrency_limit=1 and, by task 'b', with 2"):
        await engine.announce(
            declared("a", queue="q", concurrency_limit=1), declared("b", queue="q", concurrency_limit=2)
        )


@pytest.mark.parametrize("limit", [-1, 2**31])
async def test_limit_that_is_none_is_refused(engine: Engine, limit: int) -> None:
    with pytest.raises(UnprocessableRequest, match=r"task 't': concurrencyLimit is .*; expected 0 to 2"):
        await engine.announce(declared("t", concurrency_limit=limit))


async def test_zero_limit_holds_every_run_back(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=0))
    await engine.trigger("t")

    assert await engine.claim(worker) == []


async def test_environment_limit_holds_across_queues(engine: Engine) -> None:
    worker = await engine.announce("a", "b")
    await in_transaction(engine.pool, lambda tx: tx.execute("update oncue.environments set concurrency_limit = 2"))
    for _ in range(2):
        await engine.trigger("a")
        await engine.trigger("b")

    first = await engine.claim(worker)
    none = await engine.claim(worker)

    assert (len(first), len(none)) == (2, 0)


async def test_parent_with_limit_one_does_not_deadlock(engine: Engine) -> None:
    worker = await engine.announce(
        declared("parent", queue="q", concurrency_limit=1), declared("child", queue="q", concurrency_limit=1)
    )
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)

    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    await engine.succeed(worker, child)

    assert await engine.succeed(worker, parent) == []


async def test_resumed_parent_goes_before_new_runs(engine: Engine) -> None:
    worker = await engine.announce(declared("parent", queue="q", concurrency_limit=1), "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    other = await engine.trigger("parent")
    both = await engine.claim(worker)
    second = next(run for run in both if run.run_id == other)
    child = next(run for run in both if run.task == "child")
    await engine.trigger("parent")

    await engine.succeed(worker, child)
    held_back = (await engine.notices(worker), await engine.status(parent.run_id))
    await engine.succeed(worker, second)
    (notice,) = await engine.notices(worker)
    nobody_new = await engine.claim(worker)

    assert held_back == ([], "WAITING")
    assert notice.run_id == parent.run_id
    assert nobody_new == []
    assert await engine.succeed(worker, parent) == []
    assert len(await engine.claim(worker)) == 1


async def test_parallel_children_under_limit_one_all_finish(engine: Engine) -> None:
    worker = await engine.announce(
        declared("parent", queue="q", concurrency_limit=1), declared("child", queue="q", concurrency_limit=1)
    )
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    for number in range(3):
        await engine.wait_for(parent, worker, "child", call_key=f"wait:child#{number}")

    for _ in range(3):
        (child,) = await engine.claim(worker)
        await engine.succeed(worker, child)

    assert await engine.status(parent.run_id) == "EXECUTING"
    assert await engine.succeed(worker, parent) == []


async def test_slot_is_free_after_every_kind_of_ending(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1, retry=NO_WAIT))
    for _ in range(5):
        await engine.trigger("t")

    async def next_run() -> Assignment:
        (run,) = await engine.claim(worker)
        return run

    await engine.succeed(worker, await next_run())
    await engine.fail(worker, await next_run(), retryable=False)
    await engine.fail(worker, await next_run(), retry_after_ms=3_600_000)
    await engine.cancel((await next_run()).run_id)
    await engine.hand_back(worker, await next_run())
    await next_run()
    await engine.advance(LEASE + datetime.timedelta(seconds=1))
    await engine.recover()
    other = await engine.announce(declared("t", queue="q", concurrency_limit=1))

    assert len(await engine.claim(other)) == 1


async def test_crowded_key_does_not_starve_the_others(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger_many(*[("t", request(concurrency_key="crowd")) for _ in range(2_000)])
    await engine.trigger_many(*[("t", request(concurrency_key=f"k{n}")) for n in range(100)])

    seen: Counter[str] = Counter()
    for _ in range(4):
        seen.update(run.concurrency_key or "" for run in await engine.claim(worker, places=50))

    assert len(seen) == 101
    assert seen["crowd"] <= 100


async def test_higher_priority_goes_first_in_its_line(engine: Engine) -> None:
    worker = await engine.announce("t")
    plain = await engine.trigger("t")
    urgent = await engine.trigger("t", priority=10)
    more_urgent = await engine.trigger("t", priority=10.9)
    first = await engine.trigger("t", priority=1e12)

    claimed = await engine.claim(worker)

    assert [run.run_id for run in claimed] == [first, more_urgent, urgent, plain]
    assert [run.priority for run in claimed] == [2_147_483, 10.9, 10, 0]


async def test_worker_is_given_only_its_tasks_and_queues(engine: Engine) -> None:
    both = await engine.announce("a", "b")
    only_a = await engine.announce("a")
    only_q = await engine.announce("a", "b", queues=["q"])
    await engine.trigger("a")
    await engine.trigger("b")
    await engine.trigger("b", queue="q")

    from_q = await engine.claim(only_q)
    from_a = await engine.claim(only_a)
    rest = await engine.claim(both)

    assert [(run.task, run.queue) for run in from_q] == [("b", "q")]
    assert [run.task for run in from_a] == ["a"]
    assert [(run.task, run.queue) for run in rest] == [("b", "task/b")]


async def test_concurrent_claimers_share_runs_without_losing_any(engine: Engine) -> None:
    workers = [await engine.announce(declared("t", queue="q", concurrency_limit=7)) for _ in range(4)]
    made = await engine.trigger_many(*[("t", request(n, concurrency_key=n % 5)) for n in range(300)])
    started: list[str] = []
    executing: Counter[str] = Counter()

    async def drain(worker: object) -> None:
        idle = 0
        while idle < 3:
            runs = await engine.claim(worker, places=10)  # type: ignore[arg-type]
            idle = 0 if runs else idle + 1
            executing.update(run.concurrency_key or "" for run in runs)
            assert max(executing.values()) <= 7
            started.extend(run.run_id for run in runs)
            executing.subtract(run.concurrency_key or "" for run in runs)
            if runs:
                await engine.succeed(worker, *runs)  # type: ignore[arg-type]

    await asyncio.gather(*(drain(worker) for worker in workers))

    assert sorted(started) == sorted(ids.show(ids.RUN, run.run_id) for run in made if not isinstance(run, Exception))
