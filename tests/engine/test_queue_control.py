"""What operators do to queues: pause, resume, override, reset; and what queues tell of themselves."""

import asyncio
import datetime
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest

from oncue.engine import attempts, dispatch, environments, queue_reading, queues, waits
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.queue_reading import QueueRef
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.queues import QueueNaming, QueuePage, QueueView
from oncue.protocol.triggers import NestedQueue, QueueOption
from oncue.protocol.work import Assignment, Succeeded
from oncue.store.pool import in_transaction, transaction
from tests.engine.conftest import NO_WAIT, Engine, declared, request, until_blocked

T = TypeVar("T")


async def control(engine: Engine, act: Any, name: str = "q", *, naming: QueueNaming = "custom", **how: Any) -> Any:
    ref = QueueRef(naming, name)
    return await engine.run(lambda tx: act(tx, engine.environment, ref, effects=engine.effects, **how))


async def pause(engine: Engine, name: str = "q") -> QueueView:
    return await control(engine, queues.pause, name)  # type: ignore[no-any-return]


async def resume(engine: Engine, name: str = "q") -> QueueView:
    return await control(engine, queues.resume, name)  # type: ignore[no-any-return]


async def override(engine: Engine, limit: int, name: str = "q") -> QueueView:
    return await control(engine, queues.override_limit, name, limit=limit)  # type: ignore[no-any-return]


async def reset(engine: Engine, name: str = "q") -> QueueView:
    return await control(engine, queues.reset_limit, name)  # type: ignore[no-any-return]


async def retrieve(engine: Engine, name: str = "q", naming: QueueNaming = "custom") -> QueueView:
    ref = QueueRef(naming, name)
    return await engine.run(lambda tx: queue_reading.retrieve(tx, engine.environment, ref))


async def page(engine: Engine, number: int, size: int, environment: Environment | None = None) -> QueuePage:
    env = environment or engine.environment
    return await engine.run(lambda tx: queue_reading.list_queues(tx, env, page=number, size=size))


async def begin(engine: Engine, call: Awaitable[T]) -> "asyncio.Task[T]":
    """Start a call that has to wait for the open transaction."""
    task = asyncio.ensure_future(call)
    await until_blocked(engine)
    return task


async def counts(engine: Engine, name: str = "q") -> tuple[int, int]:
    """Return (running, queued)."""
    found = await retrieve(engine, name)
    return found.running, found.queued


def lined_up(engine: Engine) -> int:
    """Return for how many runs polls are to be woken since the last look."""
    runs = engine.effects.lined_up[engine.environment.id]
    engine.effects = Effects()
    return runs


LIMITS = [None, 2]
"""A lane with a limit counts its runs, and one without does not: what is asked of both is asked twice."""


@pytest.mark.parametrize("limit", LIMITS)
async def test_paused_queue_hands_out_nothing_until_it_is_resumed(engine: Engine, limit: int | None) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=limit))
    for key in ("", "", "a"):
        await engine.trigger("t", **({"concurrency_key": key} if key else {}))

    paused = await pause(engine)
    late = await engine.trigger("t", concurrency_key="new lane")
    none = await engine.claim(worker)
    resumed = await resume(engine)
    all_of_them = await engine.claim(worker)

    assert (paused.paused, resumed.paused) == (True, False)
    assert none == []
    assert len(all_of_them) == 4
    assert late in [run.run_id for run in all_of_them]


@pytest.mark.parametrize("limit", LIMITS)
async def test_runs_of_a_paused_queue_finish_and_free_nothing(engine: Engine, limit: int | None) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=limit))
    for _ in range(4):
        await engine.trigger("t")
    first, second = await engine.claim(worker, places=2)

    await pause(engine)
    await engine.succeed(worker, first)
    while_one_runs = await engine.claim(worker)
    await engine.succeed(worker, second)

    assert while_one_runs == []
    assert await engine.claim(worker) == []
    assert await counts(engine) == (0, 2)


@pytest.mark.parametrize("limit", LIMITS)
async def test_parent_whose_wait_is_over_goes_on_in_a_paused_queue(engine: Engine, limit: int | None) -> None:
    worker = await engine.announce(declared("parent", queue="q", concurrency_limit=limit), "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)

    await pause(engine)
    await engine.succeed(worker, child)
    (notice,) = await engine.notices(worker)

    assert notice.run_id == parent.run_id
    assert await engine.status(parent.run_id) == "EXECUTING"
    assert await engine.succeed(worker, parent) == []


async def test_retry_in_a_paused_queue_waits_for_its_resumption(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", retry=NO_WAIT))
    run = await engine.trigger("t")
    (first,) = await engine.claim(worker)

    await pause(engine)
    await engine.fail(worker, first)
    await engine.advance(datetime.timedelta(seconds=1))
    await engine.release_due()
    none = await engine.claim(worker)
    await resume(engine)
    (second,) = await engine.claim(worker)

    assert none == []
    assert (second.run_id, second.attempt) == (run, 2)


async def test_delayed_run_that_is_due_waits_in_a_paused_queue(engine: Engine) -> None:
    await engine.announce(declared("t", queue="q"))
    run = await engine.trigger("t", delay="1h")
    await pause(engine)

    await engine.advance(datetime.timedelta(hours=2))
    await engine.release_due()
    worker = await engine.announce(declared("t", queue="q"))
    queued, none = await counts(engine), await engine.claim(worker)
    await resume(engine)

    assert (queued, none) == ((0, 1), [])
    assert [each.run_id for each in await engine.claim(worker)] == [run]


@pytest.mark.parametrize("limit", LIMITS)
async def test_pause_and_override_survive_a_deploy(engine: Engine, limit: int | None) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=limit))
    for _ in range(3):
        await engine.trigger("t")
    await pause(engine)
    await override(engine, 1)

    worker = await engine.announce(declared("t", queue="q", concurrency_limit=7))
    still_paused = await engine.claim(worker)
    resumed = await resume(engine)
    one = await engine.claim(worker)
    base_again = await reset(engine)
    rest = await engine.claim(worker)

    assert (still_paused, len(one), len(rest)) == ([], 1, 2)
    assert (resumed.concurrency.base, resumed.concurrency_limit) == (7, 1)
    assert base_again.concurrency_limit == 7


async def test_limit_given_with_a_trigger_does_not_beat_an_override(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t", queue="q")
    await override(engine, 1)

    for _ in range(3):
        await engine.trigger("t", queue=QueueOption(NestedQueue("q", 9)))

    assert len(await engine.claim(worker)) == 1
    assert (await retrieve(engine)).concurrency.base == 9


async def test_lowered_limit_starts_nobody_before_there_is_room(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=4))
    for _ in range(6):
        await engine.trigger("t")
    running = await engine.claim(worker)

    await override(engine, 2)
    seen: list[tuple[tuple[int, int], int]] = []
    for run in running:
        await engine.succeed(worker, run)
        claimed = await engine.claim(worker)
        seen.append((await counts(engine), len(claimed)))

    assert seen == [((3, 2), 0), ((2, 2), 0), ((2, 1), 1), ((2, 0), 1)]


async def test_limit_given_to_a_queue_without_one_counts_who_runs(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q"), declared("other", queue="q"))
    for task in ("t", "other", "t", "t"):
        await engine.trigger(task)
    first, second = await engine.claim(worker, places=2)

    await override(engine, 2)
    none = await engine.claim(worker)
    await engine.succeed(worker, first)
    one = await engine.claim(worker)
    await engine.succeed(worker, second, *one)

    assert (none, len(one)) == ([], 1)
    assert await counts(engine) == (0, 1)


async def test_runs_are_counted_as_their_limit_comes_and_goes(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q"))
    for _ in range(4):
        await engine.trigger("t")

    await override(engine, 2)
    running = await engine.claim(worker)
    with_limit = await counts(engine)
    await reset(engine)
    without = await counts(engine)
    running += await engine.claim(worker, places=1)
    more = await counts(engine)
    await override(engine, 3)
    none = await engine.claim(worker)
    await engine.succeed(worker, *running)

    assert (with_limit, without, more) == ((2, 2), (2, 2), (3, 1))
    assert none == []
    assert await counts(engine) == (0, 1)


async def test_zero_blocks_and_reset_opens_again(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q"))
    await engine.trigger("t")

    blocked = await override(engine, 0)
    late = await engine.trigger("t", concurrency_key="new lane")
    none = await engine.claim(worker)
    opened = await reset(engine)
    both = await engine.claim(worker)

    assert (blocked.concurrency_limit, none, opened.concurrency_limit) == (0, [], None)
    assert len(both) == 2
    assert late in [run.run_id for run in both]


async def test_each_concurrency_key_gets_the_overridden_limit(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    for key in ("a", "a", "a", "b", "b", "b"):
        await engine.trigger("t", concurrency_key=key)

    await override(engine, 2)
    claimed = await engine.claim(worker)

    assert sorted(run.concurrency_key or "" for run in claimed) == ["a", "a", "b", "b"]
    assert await counts(engine) == (4, 2)


async def test_lowered_limit_keeps_parents_waiting_and_a_raised_one_lets_them_go(engine: Engine) -> None:
    worker = await engine.announce(declared("parent", queue="q", concurrency_limit=2), "child")
    parents = [await engine.trigger("parent") for _ in range(2)]
    for parent in await engine.claim(worker):
        await engine.wait_for(parent, worker, "child")
    children = await engine.claim(worker)

    await override(engine, 1)
    await engine.succeed(worker, *children)
    one = [await engine.status(run) for run in parents]
    await override(engine, 2)
    both = [await engine.status(run) for run in parents]

    assert sorted(one) == ["EXECUTING", "WAITING"]
    assert both == ["EXECUTING", "EXECUTING"]


@pytest.mark.parametrize("limit", LIMITS)
async def test_polls_are_woken_for_what_a_resumption_opens(engine: Engine, limit: int | None) -> None:
    await engine.announce(declared("t", queue="q", concurrency_limit=limit))
    await pause(engine)
    for _ in range(2):
        await engine.trigger("t")
    lined_up(engine)

    await resume(engine)

    assert lined_up(engine) >= 2


@pytest.mark.parametrize("raised", [5, None])
async def test_polls_are_woken_for_what_a_higher_limit_opens(engine: Engine, raised: int | None) -> None:
    worker = await engine.announce(declared("t", queue="q"))
    await override(engine, 1)
    for _ in range(3):
        await engine.trigger("t")
    await engine.claim(worker)
    lined_up(engine)

    await (reset(engine) if raised is None else override(engine, raised))

    assert lined_up(engine) >= 2


@pytest.mark.parametrize("limit", LIMITS)
async def test_counts_follow_runs_through_their_life(engine: Engine, limit: int | None) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=limit))
    childminder = await engine.announce("child")
    seen: list[tuple[int, int]] = []

    async def look() -> None:
        seen.append(await counts(engine))

    await engine.trigger("t", delay="1h")
    await look()
    await engine.trigger_many(*[("t", request(concurrency_key=f"k{n % 3}")) for n in range(6)])
    await look()
    first, *others = await engine.claim(worker, places=3)
    await look()
    await engine.wait_for(first, worker, "child")
    await look()
    await engine.succeed(childminder, *await engine.claim(childminder, places=1))
    await look()
    await engine.succeed(worker, first, *others)
    await look()

    assert seen == [(0, 0), (0, 6), (3, 3), (2, 3), (3, 3), (0, 3)]


async def test_queue_of_an_announced_task_is_there_before_its_first_run(engine: Engine) -> None:
    worker = await engine.announce("t", declared("u", queue="q"))

    await control(engine, queues.pause, "t", naming="task")
    await engine.trigger("t")
    await engine.trigger("u")

    assert [run.task for run in await engine.claim(worker)] == ["u"]


async def test_queue_shows_everything_the_contract_promises(engine: Engine) -> None:
    await engine.announce(declared("t", queue="q", concurrency_limit=3), "own")
    engine.moment = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    ref = QueueRef("custom", "q")
    changed = await engine.run(
        lambda tx: queues.override_limit(tx, engine.environment, ref, 5, by="ann", effects=engine.effects)
    )
    own = await retrieve(engine, "own", "task")

    assert changed == await retrieve(engine, changed.id, "id")
    assert (changed.name, changed.type, changed.version) == ("q", "custom", "V1")
    assert (own.name, own.type, own.concurrency_limit) == ("own", "task", None)
    assert changed.id.startswith("queue_")
    assert changed.concurrency_limit == 5
    shown = changed.concurrency
    assert (shown.current, shown.base, shown.override) == (5, 3, 5)
    assert (shown.overridden_at, shown.overridden_by) == (engine.moment, "ann")
    after = (await reset(engine)).concurrency
    assert (after.current, after.override, after.overridden_at, after.overridden_by) == (3, None, None, None)


async def test_list_gives_every_queue_once_page_by_page(engine: Engine) -> None:
    await engine.announce("b", "a", declared("c", queue="custom"), declared("d", queue="custom"))

    first, second, third = [await page(engine, number, 2) for number in (1, 2, 3)]

    assert [queue.name for queue in first.data + second.data] == ["custom", "a", "b"]
    assert third.data == []
    seen = second.pagination
    assert (seen.current_page, seen.total_pages, seen.count) == (2, 2, 3)


async def test_queues_of_another_environment_are_out_of_reach(engine: Engine) -> None:
    _, prod = await in_transaction(engine.pool, environments.ensure_default_project)
    await engine.announce("t", environment=prod)
    (theirs,) = (await page(engine, 1, 10, prod)).data

    assert (await page(engine, 1, 10)).pagination.count == 0
    with pytest.raises(NotFound, match=f"no queue {theirs.id} in this environment"):
        await control(engine, queues.pause, theirs.id, naming="id")
    with pytest.raises(NotFound, match="no queue of a task 't'"):
        await control(engine, queues.pause, "t", naming="task")
    assert not (await page(engine, 1, 10, prod)).data[0].paused


async def test_missing_queue_is_told_where_to_look(engine: Engine) -> None:
    await engine.announce(declared("t", queue="q"))

    with pytest.raises(NotFound, match="its runs stand in queue 'q'; ask for that with type=custom"):
        await retrieve(engine, "t", "task")
    with pytest.raises(NotFound, match="no queue 'nowhere' in this environment; it is there once"):
        await retrieve(engine, "nowhere")
    with pytest.raises(NotFound, match="list the queues"):
        await retrieve(engine, "queue_7zzzzzzzzzzzzzzzzzzzzzzzzz", "id")
    with pytest.raises(BadRequest, match=r"'q' is not a queue id; .*say type=task with a task's id, or type=custom"):
        await retrieve(engine, "q", "id")


async def test_changed_limit_waits_for_no_run_that_is_ending(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=2))
    for _ in range(4):
        await engine.trigger("t")
    ending, running = await engine.claim(worker)

    async with transaction(engine.pool) as tx:
        # The run's row is locked, and its lane not yet.
        await tx.execute("select from oncue.live where status = 'EXECUTING' for update")
        for limit in (3, 1, 2):
            await asyncio.wait_for(override(engine, limit), 5)
        await asyncio.wait_for(reset(engine), 5)
        await asyncio.wait_for(lift(engine), 5)
    await engine.succeed(worker, ending)
    await override(engine, 2)

    assert len(await engine.claim(worker)) == 1
    assert await engine.succeed(worker, running) == []


async def lift(engine: Engine) -> None:
    await engine.announce(declared("t", queue="q", concurrency_limit=None))


async def test_limit_put_on_while_a_run_ends_leaks_no_slot(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q"))
    for _ in range(2):
        await engine.trigger("t")
    (run,) = await engine.claim(worker, places=1)

    async with transaction(engine.pool) as ending:
        outcome = [Succeeded(run.run_id, run.epoch, 1)]
        await attempts.report(ending, engine.environment, worker, outcome, effects=Effects())
        overriding = await begin(engine, override(engine, 1))
    await overriding

    assert await counts(engine) == (0, 1)
    assert len(await engine.claim(worker)) == 1


async def test_line_made_while_its_queue_is_paused_is_closed(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q"), declared("u", queue="q"))
    await engine.trigger("t")

    async with transaction(engine.pool) as pausing:
        await queues.pause(pausing, engine.environment, QueueRef("custom", "q"), effects=Effects())
        triggering = await begin(engine, engine.trigger("u"))
    await triggering

    assert await engine.claim(worker) == []
    await resume(engine)
    assert len(await engine.claim(worker)) == 2


async def test_wait_that_ends_while_its_limit_is_lifted_is_not_forgotten(engine: Engine) -> None:
    worker = await engine.announce(declared("parent", queue="q"), "child")
    await override(engine, 1)
    parent, child = await waiting_parent(engine, worker)

    async with transaction(engine.pool) as ending:
        # The wait is over while its lane has a limit; by the time the lane is looked at, it has none.
        changes, effects = Changes(), Effects()
        target = ids.parse(ids.RUN, child.run_id)
        await waits.settle(ending, engine.environment, [target], changes=changes, effects=effects)
        await reset(engine)
        await dispatch.settle(ending, engine.environment, changes, effects=effects)

    assert await engine.status(parent.run_id) == "EXECUTING"
    assert [notice.run_id for notice in await engine.notices(worker)] == [parent.run_id]


async def waiting_parent(engine: Engine, worker: Any) -> tuple[Assignment, Assignment]:
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    return parent, child
