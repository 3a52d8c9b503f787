"""Many runs are cancelled or replayed at one request."""

import uuid
from typing import Any

import pytest

from oncue.engine import bulk_actions, bulk_work, reading, upkeep
from oncue.engine.bulk_actions import NewAction
from oncue.engine.events import Effects
from oncue.engine.reading import RunQuery
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.bulk_actions import BulkAction, BulkActionType
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.triggers import BatchItem, TriggerOptions
from oncue.store.pool import Tx
from tests.engine.conftest import NO_WAIT, Engine, declared, request


def parsed(run: str) -> uuid.UUID:
    return ids.parse(ids.RUN, run)


async def create(
    engine: Engine, type_: BulkActionType, query: RunQuery | None = None, *runs: str, **more: Any
) -> uuid.UUID:
    wish = NewAction(type=type_, query=query, run_ids=[parsed(run) for run in runs], name=more.pop("name", None))
    made = await engine.run(lambda tx: bulk_actions.create(tx, engine.environment, wish, **more))
    return ids.parse(ids.BULK, made.id)


async def work(engine: Engine) -> None:
    engine.effects.merge(await upkeep.work_in_bulk(engine.pool))


async def show(engine: Engine, action: uuid.UUID) -> BulkAction:
    return await engine.run(lambda tx: bulk_actions.retrieve(tx, engine.environment, action))


async def outcome(engine: Engine, action: uuid.UUID) -> tuple[str, int, int, int]:
    """Return an action's status, and its total, successes and failures."""
    shown = await show(engine, action)
    return shown.status, shown.counts.total, shown.counts.success, shown.counts.failure


async def listed(engine: Engine, **query: Any) -> list[str]:
    page = await engine.run(lambda tx: reading.list_runs(tx, engine.environment, RunQuery(size=100, **query)))
    return [run.id for run in page.data]


async def test_runs_that_match_are_cancelled(engine: Engine) -> None:
    await engine.announce("a", "b")
    meant = [await engine.trigger("a") for _ in range(3)]
    other = await engine.trigger("b")

    action = await create(engine, "CANCEL", RunQuery(tasks=["a"]), name="no more a")
    assert await outcome(engine, action) == ("PENDING", 3, 0, 0)
    await work(engine)

    shown = await show(engine, action)
    assert (shown.name, shown.type, shown.status) == ("no more a", "CANCEL", "COMPLETED")
    assert (shown.counts.total, shown.counts.success, shown.counts.failure) == (3, 3, 0)
    assert shown.completed_at is not None
    assert [await engine.status(run) for run in meant] == ["CANCELED"] * 3
    assert await engine.status(other) == "QUEUED"
    assert await listed(engine, bulk_action=action) == meant[::-1]
    assert await engine.violations() == 0


async def test_ended_runs_are_not_chosen_to_be_cancelled_unless_named(engine: Engine) -> None:
    worker = await engine.announce("a")
    ended = await engine.trigger("a")
    await engine.succeed(worker, *await engine.claim(worker))

    matching = await create(engine, "CANCEL", RunQuery(tasks=["a"]))
    named = await create(engine, "CANCEL", None, ended, ids.new_run_id())
    await work(engine)

    assert await outcome(engine, matching) == ("COMPLETED", 0, 0, 0)
    assert await outcome(engine, named) == ("COMPLETED", 2, 0, 2)
    assert await engine.status(ended) == "COMPLETED"


async def test_child_cancelled_with_its_parent_counts_as_cancelled(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    child = await engine.child(parent, worker, "child")

    action = await create(engine, "CANCEL", None, parent.run_id, child)
    await work(engine)

    assert await outcome(engine, action) == ("COMPLETED", 2, 2, 0)
    assert await engine.status(child) == "CANCELED"


async def test_replays_of_failed_runs_are_not_replayed_themselves(engine: Engine) -> None:
    worker = await engine.announce(declared("t", retry=NO_WAIT))
    failed = [await engine.trigger("t", number, tags=["import"], max_attempts=1) for number in range(3)]
    await engine.fail_all(worker, *await engine.claim(worker))

    action = await create(engine, "REPLAY", RunQuery(statuses=["FAILED"], tags=["import"]))
    await work(engine)

    replays = await listed(engine, bulk_action=action)
    assert len(replays) == 3
    assert not set(replays) & set(failed)
    assert {(await engine.retrieve(run)).replayed_from for run in replays} == set(failed)
    await engine.fail_all(worker, *await engine.claim(worker))
    await work(engine)
    assert await outcome(engine, action) == ("COMPLETED", 3, 3, 0)
    assert len(await listed(engine, tags=["import"])) == 6


async def test_filter_by_another_action_chooses_what_that_made(engine: Engine) -> None:
    await engine.announce("t")
    await engine.trigger("t")
    replay = await create(engine, "REPLAY", RunQuery(tasks=["t"]))
    await work(engine)
    made = await listed(engine, bulk_action=replay)

    undone = await create(engine, "CANCEL", RunQuery(bulk_action=replay))
    await work(engine)

    assert await outcome(engine, undone) == ("COMPLETED", 1, 1, 0)
    assert [await engine.status(run) for run in made] == ["CANCELED"]


async def test_named_item_of_a_batch_stands_for_its_run(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", idempotency_key="k")
    batch = await engine.create_batch(1)
    await engine.fill_batch(batch, BatchItem(0, "t", options=TriggerOptions(idempotency_key="k")))
    item = ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), 0))

    action = await create(engine, "CANCEL", None, item, run)
    await work(engine)

    assert await outcome(engine, action) == ("COMPLETED", 1, 1, 0)
    assert await engine.status(run) == "CANCELED"


async def test_replay_that_is_refused_fails_alone(engine: Engine, production: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")
    await production.announce("t")
    foreign = await production.trigger("t")

    action = await create(engine, "REPLAY", None, run, foreign)
    await work(engine)

    assert await outcome(engine, action) == ("COMPLETED", 2, 1, 1)
    assert await listed(production) == [foreign]


async def test_action_of_another_environment_is_not_there(engine: Engine, production: Engine) -> None:
    await engine.announce("t")
    await engine.trigger("t")
    action = await create(engine, "CANCEL", RunQuery(tasks=["t"]))

    with pytest.raises(NotFound, match="no bulk action"):
        await show(production, action)
    with pytest.raises(NotFound, match="no bulk action"):
        await production.run(lambda tx: bulk_actions.abort(tx, production.environment, action))
    assert await outcome(engine, action) == ("PENDING", 1, 0, 0)
    assert await listed(production, bulk_action=action) == []


async def test_a_group_is_done_whole_and_the_next_one_afterwards(engine: Engine) -> None:
    await engine.announce("t")
    count = bulk_work.GROUP + 1
    await engine.trigger_many(*(("t", request()) for _ in range(count)))
    action = await create(engine, "CANCEL", RunQuery(tasks=["t"]))

    left = await engine.run(lambda tx: bulk_work.act(tx, engine.environment, action, effects=engine.effects))

    assert left
    assert await outcome(engine, action) == ("PENDING", count, bulk_work.GROUP, 0)
    await work(engine)
    assert await outcome(engine, action) == ("COMPLETED", count, count, 0)
    assert await engine.violations() == 0


async def test_aborted_action_goes_through_no_more_runs(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")
    action = await create(engine, "CANCEL", RunQuery(tasks=["t"]))

    for _ in range(2):
        await engine.run(lambda tx: bulk_actions.abort(tx, engine.environment, action))
    await work(engine)

    assert await outcome(engine, action) == ("ABORTED", 1, 0, 0)
    assert (await show(engine, action)).completed_at is None
    assert await engine.status(run) == "QUEUED"


async def test_completed_action_cannot_be_aborted(engine: Engine) -> None:
    action = await create(engine, "CANCEL", RunQuery(tasks=["t"]))

    with pytest.raises(BadRequest, match="is completed; there is nothing left"):
        await engine.run(lambda tx: bulk_actions.abort(tx, engine.environment, action))


async def test_request_delivered_again_makes_no_second_action(engine: Engine) -> None:
    await engine.announce("t")
    await engine.trigger("t")

    first, again, other = [
        await create(engine, "REPLAY", RunQuery(tasks=["t"]), request_key=key) for key in ("k", "k", "l")
    ]
    await work(engine)

    assert first == again != other
    # The second action finds the run only, as the first has not begun when it is made.
    assert len(await listed(engine, tasks=["t"])) == 3


async def test_small_action_is_not_held_up_by_a_large_one(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_BULK_GROUPS", 2)
    await engine.announce("t")
    await engine.trigger_many(*(("t", request()) for _ in range(2 * bulk_work.GROUP)))
    first = await create(engine, "REPLAY", RunQuery(tasks=["t"]))
    second = await create(engine, "REPLAY", None, ids.new_run_id())

    await work(engine)

    assert await outcome(engine, first) == ("PENDING", 2 * bulk_work.GROUP, bulk_work.GROUP, 0)
    assert await outcome(engine, second) == ("COMPLETED", 1, 0, 1)


async def test_environments_take_turns_however_many_actions_one_has(engine: Engine, production: Engine) -> None:
    mine = [await create(engine, "REPLAY", None, ids.new_run_id()) for _ in range(60)]
    other = await create(production, "REPLAY", None, ids.new_run_id())

    found = [each.id for each in await engine.run(bulk_work.pending)]

    assert found[:2] == [mine[0], other]
    assert found[2:] == mine[1 : len(found) - 1]


async def test_action_that_fails_keeps_no_other_from_going_on(
    engine: Engine, production: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await production.announce("t")
    run = await production.trigger("t")
    broken = await create(engine, "REPLAY", None, ids.new_run_id())
    other = await create(production, "CANCEL", None, run)
    real = bulk_work.act

    async def fails(tx: Tx, environment: Environment, action_id: uuid.UUID, *, effects: Effects) -> bool:
        left = await real(tx, environment, action_id, effects=effects)
        if action_id == broken:
            raise RuntimeError("no more")
        return left

    monkeypatch.setattr(bulk_work, "act", fails)
    effects = await upkeep.work_in_bulk(engine.pool)
    monkeypatch.setattr(bulk_work, "act", real)

    assert await outcome(production, other) == ("COMPLETED", 1, 1, 0)
    assert await outcome(engine, broken) == ("PENDING", 1, 0, 0)
    assert [name for name, _ in effects.told if name.startswith("bulk")] == ["bulk.failed", "bulk.completed"]
    assert parsed(run) in effects.changed[production.environment.id]
    await work(engine)
    assert (await outcome(engine, broken))[0] == "COMPLETED"


async def test_pages_lead_to_all_actions_and_back(engine: Engine) -> None:
    made = [await create(engine, "CANCEL", RunQuery(tasks=["t"]), name=str(number)) for number in range(5)]

    async def page(**cursor: uuid.UUID) -> tuple[list[str | None], str | None, str | None]:
        wanted = {"after": None, "before": None, **cursor}
        found = await engine.run(
            lambda tx: bulk_actions.list_actions(
                tx, engine.environment, after=wanted["after"], before=wanted["before"], size=2
            )
        )
        return [action.name for action in found.data], found.pagination.next, found.pagination.previous

    shown = [ids.show(ids.BULK, action) for action in made]
    assert await page() == (["4", "3"], shown[3], None)
    assert await page(after=made[3]) == (["2", "1"], shown[1], shown[2])
    assert await page(after=made[1]) == (["0"], None, shown[0])
    assert await page(before=made[2]) == (["4", "3"], shown[3], None)
    assert await page(before=made[0]) == (["2", "1"], shown[1], shown[2])
