"""Versions that no operator names are made of the code, and hold while a worker has it."""

import uuid

from oncue.engine import versions, workers
from oncue.protocol.work import Assignment
from tests.engine.conftest import LEASE, NO_WAIT, Engine, declared

OLD, NEW = "code of monday", "code of tuesday"


async def deployed(engine: Engine, fingerprint: str, *more: str) -> uuid.UUID:
    return await engine.announce(declared("t", retry=NO_WAIT), *more, fingerprint=fingerprint)


async def only(engine: Engine, worker: uuid.UUID) -> Assignment:
    (run,) = await engine.claim(worker)
    return run


async def adopted(engine: Engine) -> int:
    return await engine.run(lambda tx: versions.adopt(tx, engine.environment))


async def version(engine: Engine, fingerprint: str) -> str:
    return await engine.run(lambda tx: versions.made(tx, engine.environment, fingerprint))


async def test_same_code_has_one_version_and_other_code_the_next(production: Engine) -> None:
    day = f"{await production.now():%Y%m%d}"

    assert [await version(production, code) for code in (OLD, NEW, OLD)] == [f"{day}.1", f"{day}.2", f"{day}.1"]
    await production.announce("t", version=f"{day}.10")
    assert await version(production, "code of noon") == f"{day}.11"


async def test_restarted_worker_finds_its_runs(production: Engine) -> None:
    worker = await deployed(production, OLD)
    run = await production.trigger("t")
    await production.fail(worker, await only(production, worker))
    await production.release_due()
    other = await deployed(production, NEW)
    assert await production.claim(other) == []

    restarted = await deployed(production, OLD)
    again = await only(production, restarted)
    assert (again.run_id, again.attempt) == (run, 2)
    assert (await production.retrieve(run)).version == await version(production, OLD)


async def test_what_a_version_leaves_behind_goes_on_elsewhere(production: Engine) -> None:
    old = await deployed(production, OLD)
    run = await production.trigger("t")
    await production.fail(old, await only(production, old))
    await production.release_due()
    new = await deployed(production, NEW)
    assert await adopted(production) == 0
    assert await production.claim(new) == []

    await production.advance(2 * LEASE)
    await production.recover()
    heir = await deployed(production, NEW)
    named = await production.announce(declared("t", retry=NO_WAIT), version="20300131.1")
    assert await adopted(production) == 1
    assert await production.claim(named) == []
    again = await only(production, heir)
    assert (again.run_id, again.attempt) == (run, 2)
    await production.succeed(heir, again)
    assert (await production.retrieve(run)).version == await version(production, NEW)


async def test_worker_that_is_restarted_is_waited_for(production: Engine) -> None:
    old = await deployed(production, OLD)
    await production.trigger("t")
    await production.hand_back(old, await only(production, old))
    await deployed(production, NEW)
    await production.run(lambda tx: workers.leave(tx, production.environment, old, effects=production.effects))

    assert await adopted(production) == 0
    await production.advance(versions.PATIENCE + LEASE / 10)
    assert await adopted(production) == 1


async def test_adopted_runs_are_given_back(production: Engine) -> None:
    old = await deployed(production, OLD)
    run = await production.trigger("t")
    await production.fail(old, await only(production, old))
    await production.release_due()
    await production.advance(2 * LEASE)
    await production.recover()
    heir = await deployed(production, NEW)
    assert await adopted(production) == 1

    again = await deployed(production, OLD)
    assert await production.claim(heir) == []
    assert (await only(production, again)).run_id == run


async def test_version_that_an_operator_named_is_left_to_its_workers(production: Engine) -> None:
    named = await production.announce(declared("t", retry=NO_WAIT), version="20300131.1")
    await production.trigger("t")
    await production.fail(named, await only(production, named))
    await production.release_due()
    await production.advance(2 * LEASE)
    await production.recover()
    other = await deployed(production, NEW)

    assert await adopted(production) == 0
    assert await production.claim(other) == []


async def test_children_keep_to_a_made_version_that_has_their_task(production: Engine) -> None:
    old = await deployed(production, OLD, "near")
    elsewhere = await production.announce("far", fingerprint="code of another program")
    new = await deployed(production, NEW, "near")
    await production.trigger("t")
    parent = await only(production, old)
    near = await production.wait_for(parent, old, "near")
    far = await production.wait_for(parent, old, "far")
    free = await production.child(parent, old, "near")

    assert {run.run_id for run in await production.claim(new)} == {free}
    assert {run.run_id for run in await production.claim(elsewhere)} == {far}
    assert {run.run_id for run in await production.claim(old)} == {near}


async def test_development_makes_no_versions(engine: Engine) -> None:
    old = await deployed(engine, OLD)
    run = await engine.trigger("t")
    await engine.fail(old, await only(engine, old))
    await engine.release_due()

    assert (await only(engine, await deployed(engine, NEW))).run_id == run
    assert (await engine.retrieve(run)).version is None
