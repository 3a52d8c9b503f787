"""Idempotency: calls of a task that carry one key are one run.

A key is unique for an environment and task. It stands for its run until it expires, is reset, or the run has failed:
then the next call takes the key over and makes a new run. Whoever takes a key holds its row until the end of the
transaction, so of concurrent calls one makes the run and the others find it.

Source: wire contract §8.7.

Life of a run, this module's part::

    matching.match -> idempotency.find -> the run that the key stands for
    api/routes/idempotency -> idempotency.reset
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine.requests import NewRun
from oncue.engine.rows import Environment, RunId
from oncue.store import queries
from oncue.store.pool import Tx

FORGET_AT_ONCE: Final = 10_000
"""Expired keys dropped in one transaction."""


class HeldKey(msgspec.Struct, frozen=True):
    """A key, locked, and the run it stands for."""

    task: str
    key: str
    run_id: uuid.UUID


_sql = queries.load("idempotency")
_hold = _sql.many("hold", HeldKey)
_worn_out = _sql.many("worn_out", HeldKey)
_take_over = _sql.none("take_over")
_point = _sql.none("point")
_forget_shown = _sql.none("forget_shown")
_reset = _sql.many("reset", RunId)
_forget_expired = _sql.none("forget_expired")


async def find(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> dict[uuid.UUID, uuid.UUID]:
    """Return, for runs that need not be made, the run their key stands for; the others hold their key now.

    Two calls with one key in the same group are one run as well: the first.
    """
    first: dict[tuple[str, str], NewRun] = {}
    for run in runs:
        if run.idempotency is not None:
            first.setdefault((run.task, run.idempotency.key), run)
    if not first:
        return {}
    asked = list(first.values())
    lifetimes = [run.idempotency.lifetime for run in asked if run.idempotency is not None]
    rows = await _hold(tx, **_named(environment, list(first)), runs=[run.run_id for run in asked], lifetimes=lifetimes)
    stands_for = {(row.task, row.key): row.run_id for row in rows}
    old = [name for name, run in first.items() if stands_for[name] != run.run_id]
    if old:
        stands_for |= await _renew(tx, environment, old, first)
    return {
        run.run_id: stands_for[run.task, run.idempotency.key]
        for run in runs
        if run.idempotency is not None and stands_for[run.task, run.idempotency.key] != run.run_id
    }


async def point(tx: Tx, environment: Environment, runs: Sequence[tuple[NewRun, uuid.UUID]]) -> None:
    """Let keys that were held for runs which are not made stand for the runs that take their place."""
    keyed = [(run.task, run.idempotency.key, other) for run, other in runs if run.idempotency is not None]
    if keyed:
        names = [(task, key) for task, key, _ in keyed]
        await _point(tx, **_named(environment, names), others=[other for _, _, other in keyed])


async def reset(tx: Tx, environment: Environment, *, task: str, key: str) -> bool:
    """Forget a key, so that the next call with it makes a new run; returns whether there was one."""
    rows = await _reset(tx, env_id=environment.id, task=task, key=key)
    await _forget_shown(tx, env_id=environment.id, runs=[row.run_id for row in rows], keys=[key] * len(rows))
    return bool(rows)


async def forget_expired(tx: Tx) -> int:
    """Drop keys whose time is over, at most ``FORGET_AT_ONCE``; returns how many."""
    return await _forget_expired(tx, limit=FORGET_AT_ONCE)


async def _renew(
    tx: Tx, environment: Environment, names: Sequence[tuple[str, str]], first: dict[tuple[str, str], NewRun]
) -> dict[tuple[str, str], uuid.UUID]:
    """Take over the keys, all of them locked, that have expired or whose run has failed."""
    worn_out = await _worn_out(tx, **_named(environment, names))
    if not worn_out:
        return {}
    taken = {(row.task, row.key): first[row.task, row.key] for row in worn_out}
    now_for = {name: run.run_id for name, run in taken.items()}
    lifetimes: list[datetime.timedelta] = [
        run.idempotency.lifetime for run in taken.values() if run.idempotency is not None
    ]
    await _take_over(tx, **_named(environment, list(taken)), runs=list(now_for.values()), lifetimes=lifetimes)
    await _forget_shown(
        tx, env_id=environment.id, runs=[row.run_id for row in worn_out], keys=[row.key for row in worn_out]
    )
    return now_for


def _named(environment: Environment, names: Sequence[tuple[str, str]]) -> dict[str, object]:
    return {"env_id": environment.id, "tasks": [task for task, _ in names], "keys": [key for _, key in names]}
