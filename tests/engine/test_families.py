"""Runs that were triggered from inside another know where they come from."""

import uuid

from oncue.protocol import ids
from oncue.protocol.runs import RunView
from oncue.protocol.triggers import BatchItem, TriggerOptions
from oncue.protocol.work import Assignment
from tests.engine.conftest import Engine


async def descent(engine: Engine, run: str) -> tuple[str | None, str | None, int]:
    """Return (parent, root, depth), and see that the run shows what is stored."""
    row = await engine.run(
        lambda tx: tx.fetchrow(
            "select parent_id, root_id, depth from oncue.runs where id = $1", ids.parse(ids.RUN, run)
        )
    )
    assert row is not None
    parent, root = (None if row[each] is None else ids.show(ids.RUN, row[each]) for each in ("parent_id", "root_id"))
    view: RunView = await engine.retrieve(run)
    family = view.related_runs
    assert (family.parent and family.parent.id, family.root and family.root.id, view.depth) == (
        parent,
        root,
        row["depth"],
    )
    return parent, root, row["depth"]


async def batch_of(engine: Engine, run: Assignment, worker: uuid.UUID, *, waits: bool) -> list[str]:
    """Trigger two items from inside a run, the second of a task that no worker knows."""
    inside = {
        "parent_run_id": run.run_id,
        "parent_epoch": run.epoch,
        "parent_worker_id": ids.show(ids.WORKER, worker),
    }
    batch = await engine.create_batch(2, resume_parent_on_completion=waits, **inside)
    options = TriggerOptions(**inside)  # type: ignore[arg-type]
    await engine.fill_batch(batch, BatchItem(0, "t", options=options), BatchItem(1, "unknown", options=options))
    key = ids.parse(ids.BATCH, batch)
    return [ids.show(ids.RUN, ids.item_run_id(key, index)) for index in (0, 1)]


async def test_each_generation_knows_parent_root_and_depth(engine: Engine) -> None:
    worker = await engine.announce("t")
    root = await engine.trigger("t")
    (first,) = await engine.claim(worker)

    child = await engine.child(first, worker, "t")
    (second,) = await engine.claim(worker)
    plain = await engine.child(second, worker, "t", delay="1h")
    waited = await engine.wait_for(second, worker, "t")
    (third,) = await engine.claim(worker)
    lowest = await engine.child(third, worker, "t")

    assert await descent(engine, root) == (None, None, 0)
    assert await descent(engine, child) == (root, root, 1)
    assert await descent(engine, plain) == (child, root, 2)
    assert await descent(engine, waited) == (child, root, 2)
    assert await descent(engine, lowest) == (waited, root, 3)
    shown = await engine.retrieve(child)
    assert [each.id for each in shown.related_runs.children or []] == [plain, waited]


async def test_items_of_a_batch_know_parent_root_and_depth(engine: Engine) -> None:
    worker = await engine.announce("t")
    root = await engine.trigger("t")
    (first,) = await engine.claim(worker)

    children = await batch_of(engine, first, worker, waits=False)
    (second,) = await engine.claim(worker)
    below = await batch_of(engine, second, worker, waits=True)

    assert second.run_id == children[0]
    assert [await descent(engine, run) for run in children] == [(root, root, 1)] * 2
    assert [await descent(engine, run) for run in below] == [(children[0], root, 2)] * 2


async def test_worker_is_told_where_a_run_comes_from(engine: Engine) -> None:
    worker = await engine.announce("t")
    root = await engine.trigger("t")
    (first,) = await engine.claim(worker)
    child = await engine.child(first, worker, "t")
    (second,) = await engine.claim(worker)
    lowest = await engine.child(second, worker, "t")
    (third,) = await engine.claim(worker)

    told = [(run.run_id, run.parent_id, run.root_id, run.depth) for run in (first, second, third)]

    assert told == [(root, None, None, 0), (child, root, root, 1), (lowest, child, root, 2)]
