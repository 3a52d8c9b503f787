"""Runs that ask for a region go to its workers, and to no other."""

import uuid

from tests.engine.conftest import LEASE, NO_WAIT, Engine, declared


async def settled(engine: Engine, region: str | None, limit: int | None = None) -> uuid.UUID:
    """Announce a worker in a region; returns its id."""
    return await engine.announce(declared("t", queue="q", concurrency_limit=limit, retry=NO_WAIT), region=region)


async def claimed(engine: Engine, worker: uuid.UUID) -> set[str]:
    return {run.run_id for run in await engine.claim(worker)}


async def test_worker_is_given_its_region_and_runs_without_one(production: Engine) -> None:
    there, elsewhere, nowhere = [await settled(production, region) for region in ("eu", "us", None)]
    eu, us, free = [await production.trigger("t", region=region) for region in ("eu", "us", None)]

    assert await claimed(production, nowhere) == {free}
    assert await claimed(production, elsewhere) == {us}
    assert await claimed(production, there) == {eu}


async def test_run_waits_for_the_first_worker_of_its_region(production: Engine) -> None:
    await settled(production, None)
    run = await production.trigger("t", region="eu")
    later = await production.trigger("t", region="eu", delay="1s")
    assert await production.status(run) == "PENDING_VERSION"

    worker = await settled(production, "eu")
    assert (await production.retrieve(run)).queue == "q"
    assert await claimed(production, worker) == {run}
    await production.advance(LEASE / 10)
    await production.release_due()
    assert await claimed(production, worker) == {later}


async def test_limits_of_a_queue_hold_across_regions(production: Engine) -> None:
    there, elsewhere = [await settled(production, region, limit=1) for region in ("eu", "us")]
    eu, us = [await production.trigger("t", region=region) for region in ("eu", "us")]
    (first,) = await production.claim(there)
    assert await claimed(production, elsewhere) == set()

    await production.succeed(there, first)
    assert first.run_id == eu
    assert await claimed(production, elsewhere) == {us}


async def test_failed_run_is_tried_again_in_its_region(production: Engine) -> None:
    there, elsewhere = [await settled(production, region) for region in ("eu", None)]
    run = await production.trigger("t", region="eu")
    (first,) = await production.claim(there)
    await production.fail(there, first)
    await production.release_due()

    assert await claimed(production, elsewhere) == set()
    (second,) = await production.claim(there)
    assert (second.run_id, second.attempt) == (run, 2)


async def test_development_runs_wherever_a_worker_is(engine: Engine) -> None:
    worker = await settled(engine, None)
    run = await engine.trigger("t", region="eu")
    parked = await engine.trigger("t", region="eu", queue="other")

    assert await claimed(engine, worker) == {run, parked}
    assert (await engine.retrieve(run)).region == "eu"
