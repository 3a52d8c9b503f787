"""Every move of a run is noted for those who subscribe to it."""

import datetime
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oncue.engine import batch_creating, batches, rescheduling, run_metadata, run_tags
from oncue.protocol import ids
from oncue.protocol.metadata import MetadataUpdate
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.triggers import BatchItem, CreateBatchRequest, TriggerOptions
from oncue.protocol.work import TaskDeclaration
from tests.engine.conftest import LEASE, Engine


def raw(run: str) -> uuid.UUID:
    return ids.parse(ids.RUN, run)


def noted(engine: Engine) -> set[uuid.UUID]:
    """Return the runs that were noted since this was asked last."""
    found = set(engine.effects.changed[engine.environment.id])
    assert set(engine.effects.changed) == {engine.environment.id}
    engine.effects.changed.clear()
    return found


async def test_trigger_claim_retry_and_end_are_noted(engine: Engine) -> None:
    worker = await engine.announce("t")

    run = await engine.trigger("t")
    assert noted(engine) == {raw(run)}
    (assignment,) = await engine.claim(worker)
    assert noted(engine) == {raw(run)}
    await engine.hand_back(worker, assignment)
    assert noted(engine) == {raw(run)}
    (assignment,) = await engine.claim(worker)
    engine.effects.changed.clear()
    await engine.succeed(worker, assignment)
    assert noted(engine) == {raw(run)}


async def test_retry_and_its_time_are_noted(engine: Engine) -> None:
    worker = await engine.announce(TaskDeclaration(id="t", retry=RetryPolicy(max_attempts=2)))
    run = await engine.trigger("t")
    (assignment,) = await engine.claim(worker)
    engine.effects.changed.clear()

    await engine.fail(worker, assignment)
    assert noted(engine) == {raw(run)}
    await engine.advance(datetime.timedelta(minutes=2))
    await engine.release_due()

    assert noted(engine) == {raw(run)}


async def test_wait_and_going_on_are_noted(engine: Engine) -> None:
    worker = await engine.announce("t", "child")
    parent = await engine.trigger("t")
    (held,) = await engine.claim(worker)
    engine.effects.changed.clear()

    child = await engine.wait_for(held, worker, "child")
    assert noted(engine) == {raw(parent), raw(child)}
    (assignment,) = await engine.claim(worker)
    engine.effects.changed.clear()
    await engine.succeed(worker, assignment)

    assert noted(engine) == {raw(parent), raw(child)}


async def test_going_on_within_a_limit_is_noted(engine: Engine) -> None:
    worker = await engine.announce(TaskDeclaration(id="t", queue="narrow", concurrency_limit=1), "child")
    parent = await engine.trigger("t")
    (held,) = await engine.claim(worker)
    await engine.wait_for(held, worker, "child")
    (assignment,) = await engine.claim(worker)
    engine.effects.changed.clear()

    await engine.succeed(worker, assignment)

    assert raw(parent) in noted(engine)


async def test_delay_that_is_over_is_noted(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", delay="1h")
    engine.effects.changed.clear()

    await engine.advance(datetime.timedelta(hours=2))
    await engine.release_due()

    assert noted(engine) == {raw(run)}


async def test_expiry_cancellation_and_recovery_are_noted(engine: Engine) -> None:
    worker = await engine.announce("t")
    lost = await engine.trigger("t")
    await engine.claim(worker)
    old, unwanted = await engine.trigger("t", ttl="10m"), await engine.trigger("t")
    engine.effects.changed.clear()

    await engine.cancel(unwanted)
    assert noted(engine) == {raw(unwanted)}
    await engine.advance(LEASE + datetime.timedelta(minutes=11))
    await engine.expire_due()
    assert noted(engine) == {raw(old)}
    await engine.recover()
    assert noted(engine) == {raw(lost)}


async def test_announced_task_has_its_runs_noted(engine: Engine) -> None:
    run = await engine.trigger("t")
    engine.effects.changed.clear()

    await engine.announce("t")

    assert noted(engine) == {raw(run)}


CHANGES: dict[str, Callable[[Engine, uuid.UUID], Callable[[Any], Awaitable[Any]]]] = {
    "tags": lambda engine, run: lambda tx: run_tags.add(tx, engine.environment, run, ["a"], effects=engine.effects),
    "metadata": lambda engine, run: (
        lambda tx: run_metadata.change(
            tx,
            engine.environment,
            run,
            run_metadata.plan(MetadataUpdate(metadata=b'{"a":1}')),  # type: ignore[arg-type]
            effects=engine.effects,
        )
    ),
    "time": lambda engine, run: (
        lambda tx: rescheduling.reschedule(tx, engine.environment, run, rescheduling.plan("3h"), effects=engine.effects)
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
async def test_change_of_a_document_is_noted(engine: Engine, kind: str) -> None:
    run = await engine.trigger("t", delay="1h")
    engine.effects.changed.clear()

    await engine.run(CHANGES[kind](engine, raw(run)))

    assert noted(engine) == {raw(run)}


async def test_items_of_a_batch_are_noted_by_their_own_ids(engine: Engine) -> None:
    await engine.trigger("t", idempotency_key="k")
    made = await engine.run(
        lambda tx: batch_creating.create(
            tx, engine.environment, CreateBatchRequest(run_count=3), effects=engine.effects
        )
    )
    batch = ids.parse(ids.BATCH, made.response.id)
    engine.effects.changed.clear()
    items = [
        BatchItem(0, "t"),
        BatchItem(1, "t", options=TriggerOptions(idempotency_key="k")),
        BatchItem(2, "t", options=TriggerOptions(max_attempts=-1)),
    ]

    await engine.run(lambda tx: batches.fill(tx, engine.environment, batch, items, effects=engine.effects))

    assert noted(engine) == {ids.item_run_id(batch, index) for index in range(3)}


async def test_tags_that_add_nothing_are_not_noted(engine: Engine) -> None:
    run = await engine.trigger("t")
    engine.effects.changed.clear()

    added = await engine.run(lambda tx: run_tags.add(tx, engine.environment, raw(run), [], effects=engine.effects))

    assert (added, engine.effects.changed) == (0, {})
