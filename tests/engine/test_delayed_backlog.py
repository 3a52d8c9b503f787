"""Runs cost nothing until their time has come: neither claims nor releases look at those that are held, and expiry at
none that may stand in line for longer.
"""

import datetime
import json
from typing import Any

import pytest

from oncue.engine import claiming, delays, dispatch, expiry  # noqa: F401 - they declare what is looked at
from oncue.store import queries
from oncue.store.pool import Tx
from tests.engine.conftest import Engine, request


async def looked_at(engine: Engine, name: str, **values: Any) -> int:
    """Return how many live runs a query reads, those that it leaves out included; what it changes is taken back."""
    (query,) = [each for each in queries.registered() if each.name == name]

    async def explain(tx: Tx) -> str:
        await tx.execute("savepoint before")
        plan = await tx.fetchval(f"explain (analyze, format json) {query.sql}", *query.arguments(values))
        await tx.execute("rollback to savepoint before")
        return str(plan)

    return _rows_of_live(json.loads(await engine.run(explain))[0]["Plan"])


def _rows_of_live(node: dict[str, Any]) -> int:
    own = 0
    if node.get("Relation Name") == "live" and "Scan" in node["Node Type"]:
        left_out = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        own = (node["Actual Rows"] + left_out) * node["Actual Loops"]
    return round(own) + sum(_rows_of_live(each) for each in node.get("Plans", ()))


@pytest.mark.parametrize("held", [5_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_held_runs_are_looked_at_by_nobody(engine: Engine, held: int, is_analyzed: bool) -> None:
    worker = await engine.announce("t")
    for _ in range(held // 1_000):
        await engine.trigger_many(*[("t", request(delay="30d"))] * 1_000)
    if is_analyzed:
        # As far as the planner knows, there is nothing in line.
        await engine.run(lambda tx: tx.execute("analyze oncue.live"))
    for _ in range(3):
        await engine.trigger("t")
        await engine.trigger("t", delay="1h")
    task = await engine.run(lambda tx: tx.fetchval("select id from oncue.tasks where slug = 't'"))

    claim = await looked_at(
        engine,
        "claiming.claim",
        env_id=engine.environment.id,
        worker_id=worker,
        tasks=[task],
        queues=None,
        places=100,
        first=None,
        queues_at_once=claiming.QUEUES_AT_ONCE,
        version=None,
        unlocked=[],
        locked=[],
    )
    await engine.advance(datetime.timedelta(hours=2))
    release = await looked_at(engine, "delays.release_due", limit=delays.GROUP)
    wake = await looked_at(engine, "delays.next_due")

    # Each run that moves is read twice: as it is found and as it is changed.
    assert 0 < claim <= 2 * 3
    assert 0 < release <= 2 * 3
    assert wake <= 1


async def test_expiry_looks_at_no_run_that_has_time(engine: Engine) -> None:
    await engine.announce("t")
    await engine.trigger_many(*[("t", request(delay="30d"))] * 1_000)
    # As far as the planner knows, there is nothing in line.
    await engine.run(lambda tx: tx.execute("analyze oncue.live"))
    await engine.trigger_many(*[("t", request(ttl="1h"))] * 500)
    for _ in range(3):
        await engine.trigger("t", ttl="1m")
    await engine.advance(datetime.timedelta(minutes=2))

    seen = await looked_at(engine, "expiry.lock_overdue", limit=expiry.GROUP)

    assert seen == 3
