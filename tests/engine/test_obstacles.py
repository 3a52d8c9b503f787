"""Why a run that is due does not start."""

import pytest

from oncue.protocol.machines import Size
from oncue.protocol.runs import PendingReason
from tests.engine.conftest import LEASE, Engine, declared

GB = 1024**3


async def reason(engine: Engine, run: str) -> tuple[str, str]:
    found = (await engine.retrieve(run)).pending_reason
    assert isinstance(found, PendingReason)
    return found.code, found.message


async def test_run_that_only_waits_its_turn_has_none(production: Engine) -> None:
    worker = await production.announce("t", size=Size(4, 8 * GB))
    first, second = [await production.trigger("t") for _ in range(2)]
    assert (await production.retrieve(first)).pending_reason is None

    await production.claim(worker, places=1)
    assert (await production.retrieve(first)).pending_reason is None
    assert (await production.retrieve(second)).pending_reason is None


async def test_nobody_has_the_task(production: Engine) -> None:
    run = await production.trigger("t", region="eu", lock_to_version="20300131.1")

    code, message = await reason(production, run)
    assert code == "NO_WORKER"
    assert message.startswith("no worker that has task 't' in region eu under version 20300131.1 is there")
    assert message.endswith("oncue worker MODULE --region eu --version 20300131.1")


async def test_last_worker_of_a_region_has_gone(production: Engine) -> None:
    await production.announce("t", region="eu")
    run = await production.trigger("t", region="eu")
    await production.advance(LEASE * 2)
    await production.announce("t")

    assert (await reason(production, run))[0] == "NO_WORKER"


async def test_no_worker_serves_the_queue(production: Engine) -> None:
    await production.announce("t", queues=["other"])
    run = await production.trigger("t")

    assert (await reason(production, run))[0] == "NO_WORKER"


async def test_queue_executes_as_many_as_it_may(production: Engine) -> None:
    worker = await production.announce(declared("t", queue="q", concurrency_limit=1))
    await production.trigger("t", concurrency_key="k")
    await production.claim(worker)
    run = await production.trigger("t", concurrency_key="k")

    assert await reason(production, run) == (
        "CONCURRENCY_LIMIT", "queue 'q' executes as many runs as it may for concurrency key 'k': 1"
    )  # fmt: skip


@pytest.mark.parametrize(("size", "code"), [(Size(2, 64 * GB), "MACHINE_TOO_LARGE"), (Size(4, 8 * GB), "NO_ROOM")])
async def test_no_worker_has_room_for_the_machine(production: Engine, size: Size, code: str) -> None:
    worker = await production.announce("t", size=size)
    await production.trigger("t", machine="medium-2x")
    await production.claim(worker)
    run = await production.trigger("t", machine="large-1x")
    found, message = await reason(production, run)

    assert found == code
    assert "machine large-1x (4 CPUs and 8 GB)" in message
    assert ("the largest has 2 CPUs and 64 GB" in message) == (code == "MACHINE_TOO_LARGE")


async def test_two_workers_together_are_not_large_enough(production: Engine) -> None:
    await production.announce("t", size=Size(8, 2 * GB))
    await production.announce("t", size=Size(1, 16 * GB))
    run = await production.trigger("t", machine="large-2x")

    code, message = await reason(production, run)
    assert code == "MACHINE_TOO_LARGE"
    assert "the largest has 1 CPU and 16 GB" in message


async def test_another_worker_has_room(production: Engine) -> None:
    worker = await production.announce("t", size=Size(4, 8 * GB))
    await production.trigger("t", machine="large-1x")
    await production.claim(worker)
    run = await production.trigger("t", machine="large-1x")
    assert (await reason(production, run))[0] == "NO_ROOM"

    await production.announce("t", size=Size(4, 8 * GB))
    assert (await production.retrieve(run)).pending_reason is None
