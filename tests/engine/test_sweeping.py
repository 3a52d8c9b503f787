"""Damage done by hand, as a bug would do it: the sweep finds it, and the runs go on."""

import pytest

from oncue.store.pool import in_transaction
from tests.engine.conftest import Engine, declared


async def damage(engine: Engine, statement: str) -> None:
    assert not (await in_transaction(engine.pool, lambda tx: tx.execute(statement))).endswith(" 0")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("update oncue.lanes set running = 1", "lane.running"),
        ("update oncue.lanes set resuming = 1", "lane.resuming"),
        ("update oncue.lines set pending = 5", "line.pending"),
        ("update oncue.lines set open = false, eligible = false", "line.open"),
    ],
)
async def test_wrong_counter_is_corrected_and_the_run_goes_on(engine: Engine, statement: str, what: str) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    await engine.trigger("t")
    await damage(engine, statement)

    found = await engine.violations()

    assert found == 1
    assert [fields["what"] for name, fields in engine.effects.told if name == "invariant.violated"] == [what]
    assert len(await engine.claim(worker)) == 1


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("update oncue.live set waits_left = 2 where waits_left = 1", "live.waits_left"),
        ("delete from oncue.waits", "live.waits_left"),
    ],
)
async def test_parent_with_nothing_to_wait_for_goes_on(
    engine: Engine, statement: str, what: str, limit: int | None
) -> None:
    worker = await engine.announce(declared("parent", queue="q", concurrency_limit=limit), "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    await damage(engine, statement)

    found = await engine.violations()
    await engine.succeed(worker, child)

    assert found == 1
    assert [fields["what"] for name, fields in engine.effects.told if name == "invariant.violated"] == [what]
    assert await engine.status(parent.run_id) == "EXECUTING"


async def test_parent_whose_child_ended_untold_goes_on(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    await engine.trigger("parent")
    (parent,) = await engine.claim(worker)
    await engine.wait_for(parent, worker, "child")
    (child,) = await engine.claim(worker)
    await damage(engine, "update oncue.live set awaited = false where parent_id is not null")
    await engine.succeed(worker, child)
    stuck = await engine.status(parent.run_id)

    found = await engine.violations()
    (notice,) = await engine.notices(worker)

    assert (stuck, found, notice.run_id) == ("WAITING", 1, parent.run_id)
    assert await engine.status(parent.run_id) == "EXECUTING"
