"""A run can be cancelled whatever it is doing, and takes all that it triggered with it."""

import uuid
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from oncue.engine import waitpoints
from oncue.protocol import ids
from oncue.protocol.failures import BuiltInError
from oncue.protocol.triggers import BatchItem
from oncue.protocol.work import Assignment, RunSettled, WaitRequest
from tests.engine.conftest import Engine

CANCELED = BuiltInError("TaskRunCancelledError", "Canceled by user")

Reach: TypeAlias = Callable[[Engine, uuid.UUID], Awaitable[str]]
"""Brings a run of task ``t`` into a state, and returns it."""


async def started(engine: Engine, worker: uuid.UUID, task: str = "t") -> Assignment:
    run = await engine.trigger(task)
    (assignment,) = [each for each in await engine.claim(worker) if each.run_id == run]
    return assignment


def called_by(run: Assignment, worker: uuid.UUID) -> dict[str, object]:
    return {
        "parent_run_id": run.run_id,
        "parent_epoch": run.epoch,
        "parent_worker_id": ids.show(ids.WORKER, worker),
    }


async def delayed(engine: Engine, worker: uuid.UUID) -> str:
    return await engine.trigger("t", delay="1h")


async def parked(engine: Engine, worker: uuid.UUID) -> str:
    return await engine.trigger("unknown")


async def queued(engine: Engine, worker: uuid.UUID) -> str:
    return await engine.trigger("t")


async def executing(engine: Engine, worker: uuid.UUID) -> str:
    return (await started(engine, worker)).run_id


async def waiting_for_a_child(engine: Engine, worker: uuid.UUID) -> str:
    run = await started(engine, worker)
    await engine.wait_for(run, worker, "child")
    return run.run_id


async def waiting_for_a_batch(engine: Engine, worker: uuid.UUID) -> str:
    run = await started(engine, worker)
    batch = await engine.create_batch(2, resume_parent_on_completion=True, **called_by(run, worker))
    await engine.fill_batch(batch, BatchItem(0, "child"), BatchItem(1, "child"))
    return run.run_id


async def waiting_for_a_moment(engine: Engine, worker: uuid.UUID) -> str:
    run = await started(engine, worker)
    asked = WaitRequest(**called_by(run, worker), delay_ms=60_000)  # type: ignore[arg-type]
    await engine.run(lambda tx: waitpoints.wait(tx, engine.environment, asked, effects=engine.effects))
    return run.run_id


async def waiting_for_its_slot(engine: Engine, worker: uuid.UUID) -> str:
    run = await started(engine, worker)
    await engine.wait_for(run, worker, "child")
    claimed = {each.task: each for each in [await started(engine, worker), *await engine.claim(worker)]}
    assert claimed.keys() == {"t"}
    await engine.cancel(*[each.id for each in (await engine.retrieve(run.run_id)).related_runs.children or []])
    (notice,) = await engine.notices(worker)
    assert not notice.resumes if isinstance(notice, RunSettled) else False
    return run.run_id


async def between_attempts(engine: Engine, worker: uuid.UUID) -> str:
    run = await started(engine, worker)
    await engine.fail(worker, run, retry_after_ms=60_000)
    return run.run_id
