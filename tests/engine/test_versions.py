"""Runs go on under the version of the code under which they started."""

import uuid

from oncue.protocol.work import Assignment
from tests.engine.conftest import LEASE, NO_WAIT, Engine, declared

OLD, NEW = "20300131.1", "20300131.2"


async def deployed(engine: Engine, version: str | None) -> uuid.UUID:
    """Announce a worker of a version; returns its id."""
    return await engine.announce(declared("t", queue="q", concurrency_limit=2, retry=NO_WAIT), "child", version=version)


async def only(engine: Engine, worker: uuid.UUID) -> Assignment:
    (run,) = await engine.claim(worker)
    return run


async def test_failed_run_is_tried_again_by_its_version(production: Engine) -> None:
    old, new = await deployed(production, OLD), await deployed(production, NEW)
    run = await production.trigger("t")
    await production.fail(old, await only(production, old))
    await production.release_due()

    assert await production.claim(new) == []
    again = await only(production, old)
    assert (again.run_id, again.attempt) == (run, 2)
    assert (await production.retrieve(run)).version == OLD


async def test_run_of_a_lost_worker_waits_for_another_of_its_version(production: Engine) -> None:
    old = await deployed(production, OLD)
    run = await production.trigger("t")
    await only(production, old)
    await production.advance(2 * LEASE)
    await production.recover()
    new = await deployed(production, NEW)
    assert await production.claim(new) == []

    another = await deployed(production, OLD)
    assert (await only(production, another)).run_id == run


async def test_unloaded_run_is_woken_for_its_version(production: Engine) -> None:
    old, new = await deployed(production, OLD), await deployed(production, NEW)
    await production.trigger("t")
    parent = await only(production, old)
    child_id = await production.wait_for(parent, old, "child")
    await production.unload(old, parent, child_id)
    assert await production.claim(new) == []

    await production.succeed(old, await only(production, old))
    assert await production.claim(new) == []
    assert (await only(production, old)).run_id == parent.run_id


async def test_children_that_are_waited_for_run_under_their_parents_version(production: Engine) -> None:
    old, new = await deployed(production, OLD), await deployed(production, NEW)
    await production.trigger("t")
    parent = await only(production, old)
    waited = await production.wait_for(parent, old, "child")
    free = await production.child(parent, old, "child")

    assert {run.run_id for run in await production.claim(new)} == {free}
    assert {run.run_id for run in await production.claim(old)} == {waited}


async def test_two_versions_share_the_slots_of_a_queue(production: Engine) -> None:
    old, new = await deployed(production, OLD), await deployed(production, NEW)
    for _ in range(3):
        await production.trigger("t")
    first, second = await production.claim(old)
    assert await production.claim(new) == []

    await production.hand_back(old, first)
    assert len(await production.claim(old)) == 1
    assert await production.claim(new) == []
    await production.succeed(old, second)
    # Of the two that are left one has started under the old version, and the other is anybody's.
    assert len(await production.claim(new)) + len(await production.claim(old)) == 1


async def test_run_that_asks_for_a_version_waits_for_it(production: Engine) -> None:
    await deployed(production, NEW)
    run = await production.trigger("t", lock_to_version=OLD)
    assert await production.status(run) == "PENDING_VERSION"

    old = await deployed(production, OLD)
    assert (await only(production, old)).run_id == run


async def test_worker_without_a_version_locks_nothing(production: Engine) -> None:
    plain, new = await deployed(production, None), await deployed(production, NEW)
    run = await production.trigger("t")
    await production.hand_back(plain, await only(production, plain))

    assert (await only(production, new)).run_id == run
    assert (await production.retrieve(run)).version == NEW


async def test_development_runs_on_the_code_of_now(engine: Engine) -> None:
    old, new = await deployed(engine, OLD), await deployed(engine, NEW)
    run = await engine.trigger("t", lock_to_version=OLD)
    await engine.hand_back(new, await only(engine, new))

    assert (await only(engine, old)).run_id == run
