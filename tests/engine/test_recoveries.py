"""A run that takes its worker down goes back in line, but not for ever."""

import datetime
from typing import Any

import pytest

from oncue.protocol.runs import RunView
from tests.engine.conftest import LEASE, Engine, declared


async def lost(engine: Engine, **limits: int) -> None:
    """Have a worker take what is in line and say nothing more."""
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    assert len(await engine.claim(worker)) == 1
    await engine.advance(LEASE + datetime.timedelta(seconds=1))
    assert await engine.recover(**limits) == 1


def reason(view: RunView) -> Any:
    return view.error.message if view.error is not None else None


@pytest.mark.parametrize(
    ("limits", "losses", "told"),
    [
        ({}, 5, "the worker was lost 6 times while this run executed; it is not started again"),
        ({"max_recoveries": 0}, 0, "the worker was lost once while this run executed; it is not started again"),
        ({"max_recoveries": 2}, 2, "the worker was lost 3 times while this run executed; it is not started again"),
    ],
)
async def test_run_that_loses_its_worker_too_often_has_crashed(
    engine: Engine, limits: dict[str, int], losses: int, told: str
) -> None:
    run = await engine.trigger("t", queue="q", max_attempts=2)
    for _ in range(losses):
        await lost(engine, **limits)
        assert await engine.status(run) == "QUEUED"
    await lost(engine, **limits)

    view = await engine.retrieve(run)
    assert (view.status, reason(view), view.attempt_count) == ("CRASHED", told, 1)
    # Its slot is free again.
    after = await engine.trigger("t", queue="q")
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    assert [held.run_id for held in await engine.claim(worker)] == [after]
    assert await engine.violations() == 0
