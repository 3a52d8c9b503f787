"""Debouncing: calls with one key fall together into one held run, which each of them pushes away.

A key belongs to an environment and task and stands for its run while that is DELAYED, or is due and waits for a worker
that knows its task. Each call moves the run to its
own moment plus the delay, floored to a whole second and never earlier than it was, nor beyond the longest delay counted
from the first call. A trailing call puts its payload in the run's place. Calls hold their key's row until the end of
the transaction, and the run's while they push it, so one that is being released is either pushed or left alone.

Source: wire contract §8.6. The longest delay is kept as the trigger-functions page promises it: the run is not held
beyond it, where the contract's server would begin another.

Life of a run, this module's part::

    matching.match -> debouncing.find -> the held run, or None: make one
    triggering -> debouncing.push: DELAYED, PENDING_VERSION -> DELAYED
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine.option_rules import Debounce
from oncue.engine.requests import NewRun
from oncue.engine.rows import Environment, RunId
from oncue.store import queries
from oncue.store.pool import Tx

FORGET_AT_ONCE: Final = 10_000
"""Keys without a held run dropped in one transaction."""


class HeldKey(msgspec.Struct, frozen=True):
    """A key, locked, and the run it stood for last."""

    task: str
    key: str
    run_id: uuid.UUID


class Now(msgspec.Struct, frozen=True):
    """The moment of a transaction."""

    moment: datetime.datetime


class Released(msgspec.Struct, frozen=True):
    """A key whose run was no longer held."""

    env_id: int
    task: str
    key: str


class Push(msgspec.Struct, frozen=True):
    """What calls do to a run that was there before them, or to the first of their group."""

    run_id: uuid.UUID
    delay: datetime.timedelta
    max_delay: datetime.timedelta | None
    last: NewRun | None
    """What a trailing call puts in the run's place; None: nothing."""


_sql = queries.load("debouncing")
_hold = _sql.many("hold", HeldKey)
_now = _sql.one("now", Now)
_lock_held = _sql.many("lock_held", RunId)
_take_over = _sql.none("take_over")
_push = _sql.none("push")
_lock_released = _sql.many("lock_released", Released)
_forget_released = _sql.none("forget_released")


async def find(
    tx: Tx, environment: Environment, runs: Sequence[NewRun]
) -> tuple[dict[uuid.UUID, uuid.UUID], list[Push]]:
    """Return, for runs that need not be made, the run that takes their calls; and what those calls do to it.

    The pushes are for ``push``, once the runs that have to be made are there.
    """
    calls: dict[tuple[str, str], list[NewRun]] = {}
    for run in runs:
        if run.debounce is not None:
            calls.setdefault((run.task, run.debounce.key), []).append(run)
    if not calls:
        return {}, []
    after = await _taking(tx, calls)
    stands_for = await _standing(tx, environment, {name: group[after[name]] for name, group in calls.items()})
    targets: dict[uuid.UUID, uuid.UUID] = {}
    pushes: list[Push] = []
    for name, group in calls.items():
        run_id = stands_for[name]
        # Where the first to take others is new, those before it could not take any and go their own way.
        falling = group[after[name] :] if run_id == group[after[name]].run_id else group
        others = [run for run in falling if run.run_id != run_id]
        if others:
            targets |= dict.fromkeys((run.run_id for run in others), run_id)
            pushes.append(_folded(run_id, others))
    return targets, pushes


async def push(tx: Tx, environment: Environment, pushes: Sequence[Push]) -> None:
    """Move held runs, which are locked or new, and replace what trailing calls replace."""
    if not pushes:
        return
    last = [push.last for push in pushes]
    await _push(
        tx,
        env_id=environment.id,
        run_ids=[push.run_id for push in pushes],
        delays=[push.delay for push in pushes],
        max_delays=[push.max_delay for push in pushes],
        trailing=[run is not None for run in last],
        payloads=[None if run is None else run.payload for run in last],
        payload_types=[None if run is None else run.payload_type for run in last],
        metadata=[None if run is None else run.metadata for run in last],
        tags=[None if run is None else run.tags for run in last],
        max_attempts=[None if run is None else run.max_attempts for run in last],
        max_durations=[None if run is None else run.max_duration for run in last],
        machines=[None if run is None else run.machine for run in last],
    )


def given_machines(pushes: Sequence[Push]) -> list[uuid.UUID]:
    """Return the held runs that a trailing call has given a machine."""
    return [push.run_id for push in pushes if push.last is not None and push.last.machine is not None]


async def forget_released(tx: Tx) -> int:
    """Drop keys whose run is no longer held, at most ``FORGET_AT_ONCE``; returns how many."""
    keys = await _lock_released(tx, limit=FORGET_AT_ONCE)
    if not keys:
        return 0
    return await _forget_released(
        tx,
        env_ids=[key.env_id for key in keys],
        tasks=[key.task for key in keys],
        keys=[key.key for key in keys],
    )


async def _taking(tx: Tx, calls: dict[tuple[str, str], list[NewRun]]) -> dict[tuple[str, str], int]:
    """Return for each key the place of the first call that would be held, and so takes later ones; else the last."""
    asked = [run for group in calls.values() if len(group) > 1 for run in group]
    if not any(run.delay_until is not None or not run.delay for run in asked):
        return dict.fromkeys(calls, 0)
    now = (await _now(tx)).moment
    return {
        name: next((place for place, run in enumerate(group) if _is_held(run, now)), len(group) - 1)
        for name, group in calls.items()
    }


def _is_held(run: NewRun, now: datetime.datetime) -> bool:
    return run.delay_until > now if run.delay_until is not None else bool(run.delay)


async def _standing(
    tx: Tx, environment: Environment, taking: dict[tuple[str, str], NewRun]
) -> dict[tuple[str, str], uuid.UUID]:
    """Lock keys and the held runs they stand for; a key without one is taken over by the run that is to take others."""
    names = list(taking)
    first = list(taking.values())
    rows = await _hold(
        tx,
        **_named(environment, names),
        runs=[run.run_id for run in first],
        max_delays=[_asked(run).max_delay for run in first],
    )
    stands_for = {(row.task, row.key): row.run_id for row in rows}
    old = {name: stands_for[name] for name, run in zip(names, first, strict=True) if stands_for[name] != run.run_id}
    if not old:
        return stands_for
    held = {row.run_id for row in await _lock_held(tx, env_id=environment.id, run_ids=list(old.values()))}
    free = [name for name, run_id in old.items() if run_id not in held]
    if free:
        await _take_over(
            tx,
            **_named(environment, free),
            runs=[taking[name].run_id for name in free],
            max_delays=[_asked(taking[name]).max_delay for name in free],
        )
        stands_for |= {name: taking[name].run_id for name in free}
    return stands_for


def _folded(run_id: uuid.UUID, calls: Sequence[NewRun]) -> Push:
    """Fold calls of one moment into one push: the longest delay, the narrowest bound, the last trailing call."""
    asked = [_asked(run) for run in calls]
    last: NewRun | None = None
    for run, debounce in zip(calls, asked, strict=True):
        if debounce.is_trailing:
            last = run if last is None else _over(last, run)
    return Push(
        run_id,
        max(debounce.delay for debounce in asked),
        min((debounce.max_delay for debounce in asked if debounce.max_delay is not None), default=None),
        last,
    )


def _over(earlier: NewRun, later: NewRun) -> NewRun:
    """Let a trailing call replace an earlier one, whose options stay where the later says nothing of them."""
    return msgspec.structs.replace(
        later,
        metadata=later.metadata or earlier.metadata,
        tags=later.tags if later.tags is not None else earlier.tags,
        max_attempts=later.max_attempts or earlier.max_attempts,
        max_duration=later.max_duration or earlier.max_duration,
        machine=later.machine or earlier.machine,
    )


def _asked(run: NewRun) -> Debounce:
    assert run.debounce is not None
    return run.debounce


def _named(environment: Environment, names: Sequence[tuple[str, str]]) -> dict[str, object]:
    return {"env_id": environment.id, "tasks": [task for task, _ in names], "keys": [key for _, key in names]}
