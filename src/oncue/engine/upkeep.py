"""Upkeep: what has to happen although nobody calls.

Every server does all of it; ``skip locked`` keeps them out of each other's way, so there is no leader to lose. Each
chore is a short transaction; one that finds a full group is asked again at once.

Life of a run, this module's part::

    api/upkeep -> upkeep.release_due, chores -> delays, placing, recovery, batches, sweeping
"""

import datetime
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec

from oncue.engine import (
    bulk_work,
    debouncing,
    delays,
    dispatch,
    environments,
    expiry,
    giving_up,
    idempotency,
    one_time_tokens,
    partitions,
    placing,
    rate_limits,
    recovery,
    retention,
    signing_keys,
    steps,
    sweeping,
    versions,
    waitpoints,
)
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import ids, packets
from oncue.store.objects import Objects
from oncue.store.pool import Pool, Tx, in_transaction

_BULK_GROUPS: Final = 50
"""Groups of bulk actions between two times that others hear of what was done."""


class Chore(msgspec.Struct, frozen=True):
    """Something to do every so often."""

    name: str
    every: datetime.timedelta
    run: Callable[[Pool], Awaitable[Effects]]
    needs_heartbeats: bool = False
    """Only once workers have had the time to say that they are alive: not right after a start or an outage."""


async def release_due(pool: Pool) -> tuple[Effects, datetime.timedelta | None]:
    """Put every held run whose time has come in line, and end every wait for a moment that has come.

    Returns:
        What others must hear of, and how long until the next of them is due; None if there is none.
    """
    effects = Effects()
    while await _committed(pool, release_group, effects) == delays.GROUP:
        pass
    while await _committed(pool, waitpoints.settle_due, effects) == waitpoints.GROUP:
        pass
    return effects, await in_transaction(pool, _next_due)


async def expire_due(pool: Pool) -> Effects:
    """End every run that was not started in time."""
    effects = Effects()
    while await _committed(pool, expire_group, effects) == expiry.GROUP:
        pass
    return effects


async def recover_lost(pool: Pool, max_recoveries: int) -> Effects:
    """Take runs back from workers that were silent for too long."""
    recover = partial(recovery.recover_lost, max_recoveries=max_recoveries)
    return await _in_each_environment(pool, recover, among=recovery.environments_of_lost)


async def probe(pool: Pool) -> None:
    """Return if PostgreSQL answers; raises what the pool raises where it does not."""
    await in_transaction(pool, environments.list_environments)


async def place_parked(pool: Pool) -> Effects:
    """Put runs in line whose task has been announced since they were triggered."""
    effects = Effects()
    for environment in await in_transaction(pool, environments.list_environments):
        while await _committed(pool, partial(_called, place_group, environment), effects) == placing.GROUP:
            pass
    return effects


async def abort_overdue(pool: Pool) -> Effects:
    """Give up batches that were not filled in time."""
    return await _in_each_environment(pool, giving_up.abort_overdue)


async def work_in_bulk(pool: Pool) -> Effects:
    """Go through runs of bulk actions, of each action a group by turns; after some groups the rest has to wait.

    An action that fails is left for the next time, and keeps no other from going on.
    """
    effects = Effects()
    failed: set[uuid.UUID] = set()
    groups, left = 0, True
    while left and groups < _BULK_GROUPS:
        left = False
        pending = [each for each in await in_transaction(pool, bulk_work.pending) if each.id not in failed]
        known = {env.id: env for env in await in_transaction(pool, environments.list_environments)} if pending else {}
        for action in pending:
            act = partial(bulk_work.act, action_id=action.id)
            try:
                left |= bool(await _committed(pool, partial(_called, act, known[action.env_id]), effects))
            except Exception as error:  # one must not keep the others from going on  # noqa: BLE001
                failed.add(action.id)
                effects.tell("bulk.failed", action=ids.show(ids.BULK, action.id), error=type(error).__name__)
        groups += len(pending)
    return effects


async def adopt_versions(pool: Pool) -> Effects:
    """Give what versions without a worker have left behind to workers of others, where nobody named the versions."""
    return await _in_each_environment(pool, _adopt)


async def _adopt(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    adopted = await versions.adopt(tx, environment)
    if adopted:
        effects.line_up(environment, adopted)
        effects.tell("versions.adopted", environment=environment.slug, workers=adopted)
    return adopted


async def make_partitions(pool: Pool) -> Effects:
    """Make the partitions of the coming days, and forget keys, tokens and limits that no longer count."""
    await in_transaction(pool, partitions.make_ahead)
    await in_transaction(pool, partitions.forget_request_keys)
    await in_transaction(pool, one_time_tokens.forget)
    await in_transaction(pool, rate_limits.forget)
    await in_transaction(pool, signing_keys.forget)
    while await in_transaction(pool, idempotency.forget_expired) == idempotency.FORGET_AT_ONCE:
        pass
    while await in_transaction(pool, steps.forget) == steps.FORGET_AT_ONCE:
        pass
    while await in_transaction(pool, waitpoints.forget_moments) == waitpoints.FORGET_AT_ONCE:
        pass
    while await in_transaction(pool, debouncing.forget_released) == debouncing.FORGET_AT_ONCE:
        pass
    return Effects()


async def forget_old(pool: Pool, keep: datetime.timedelta, objects: Objects) -> Effects:
    """Delete runs that are too old to be kept, what belongs to them, and then their large payloads and outputs.

    Args:
        pool: The database.
        keep: For how many whole days runs are kept.
        objects: Where their large payloads and outputs are.
    """
    effects = Effects()
    before = await in_transaction(pool, partial(retention.first_kept, keep=keep))
    days = await in_transaction(pool, partial(retention.old_days, before=before))
    dropped = [day for day in days if await in_transaction(pool, partial(retention.drop_day, day=day))]
    left = [day for day in days if day not in dropped]
    while await in_transaction(pool, partial(retention.delete_group, before=before, left=left)):
        pass
    deleted = await _delete_objects(pool, before, objects)
    if dropped or deleted:
        effects.tell("runs.forgotten", before=str(before), days=len(dropped), objects=deleted)
    return effects


async def _delete_objects(pool: Pool, before: datetime.date, objects: Objects) -> int:
    """Delete the objects of days before another which no run names any more; return how many those were."""
    needed = await in_transaction(pool, partial(retention.days_of_objects, before=before))
    # What a run was given may have been stored the day before it was triggered.
    needed.add(before - datetime.timedelta(days=1))
    deleted = 0
    for storage in await in_transaction(pool, environments.storages):
        for name in await objects.below(storage.place):
            day = packets.read_day(name)
            if day is not None and day < before and day not in needed:
                deleted += await objects.delete_below(f"{storage.place}/{name}")
    return deleted


async def sweep(pool: Pool) -> Effects:
    """Hold every counter against the rows it stands for, and every lease against its worker."""
    effects = await _in_each_environment(pool, sweeping.sweep)
    effects.merge(await _in_each_environment(pool, recovery.recover_orphans))
    return effects


def chores(
    *, max_recoveries: int, keep: datetime.timedelta | None = None, objects: Objects | None = None
) -> tuple[Chore, ...]:
    """Return all chores but releasing held runs, which has its own clock.

    Args:
        max_recoveries: How often a run may lose its worker.
        keep: For how many whole days runs are kept; None: for ever.
        objects: Where their large payloads and outputs are.
    """
    recover = partial(recover_lost, max_recoveries=max_recoveries)
    forget: tuple[Chore, ...] = ()
    if keep is not None and objects is not None:
        forgetting = partial(forget_old, keep=keep, objects=objects)
        forget = (Chore("forget_old", datetime.timedelta(hours=1), forgetting),)
    return (
        *forget,
        Chore("recover_lost", datetime.timedelta(seconds=2), recover, needs_heartbeats=True),
        Chore("expire_due", datetime.timedelta(seconds=1), expire_due),
        Chore("place_parked", datetime.timedelta(seconds=30), place_parked),
        Chore("abort_overdue", datetime.timedelta(seconds=30), abort_overdue),
        Chore("work_in_bulk", datetime.timedelta(seconds=1), work_in_bulk),
        Chore("adopt_versions", datetime.timedelta(seconds=10), adopt_versions, needs_heartbeats=True),
        Chore("sweep", datetime.timedelta(seconds=15), sweep),
        Chore("make_partitions", datetime.timedelta(hours=1), make_partitions),
    )


async def _in_each_environment(
    pool: Pool,
    work: Callable[..., Awaitable[int]],
    *,
    among: Callable[[Tx], Awaitable[list[Environment]]] = environments.list_environments,
) -> Effects:
    effects = Effects()
    for environment in await in_transaction(pool, among):
        await _committed(pool, partial(_called, work, environment), effects)
    return effects


async def _committed(pool: Pool, work: Callable[[Tx, Effects], Awaitable[int]], effects: Effects) -> int:
    """Do something in a transaction; only what is committed has effects, not an attempt that is made again."""

    async def attempt(tx: Tx) -> tuple[int, Effects]:
        own = Effects()
        return await work(tx, own), own

    done, own = await in_transaction(pool, attempt)
    effects.merge(own)
    return done


async def _called(work: Callable[..., Awaitable[int]], environment: Environment, tx: Tx, effects: Effects) -> int:
    return await work(tx, environment, effects=effects)


async def _next_due(tx: Tx) -> datetime.timedelta | None:
    waits = (await delays.next_due(tx), await waitpoints.next_due(tx))
    return min((wait for wait in waits if wait is not None), default=None)


async def release_group(tx: Tx, effects: Effects) -> int:
    """Put one group of held runs whose time has come in line; returns how many that were."""
    due = await delays.release_due(tx)
    if not due:
        return 0
    known = {environment.id: environment for environment in await environments.list_environments(tx)}
    # In one order, as whoever locks lines of several environments does.
    for env_id, count in sorted(Counter(run.env_id for run in due).items()):
        changes = Changes()
        changes.pending.update(run.line_id for run in due if run.env_id == env_id and run.line_id is not None)
        effects.change(known[env_id], [run.run_id for run in due if run.env_id == env_id])
        if changes.pending.total() < count:
            await placing.place_parked(tx, known[env_id], changes=changes, effects=effects)
        await dispatch.settle(tx, known[env_id], changes, effects=effects)
    return len(due)


async def expire_group(tx: Tx, effects: Effects) -> int:
    """End one group of runs that were not started in time; returns how many that were."""
    known = {environment.id: environment for environment in await environments.list_environments(tx)}
    expired, changes = await expiry.expire_due(tx, known, effects=effects)
    for env_id, changed in sorted(changes.items()):
        await dispatch.settle(tx, known[env_id], changed, effects=effects)
    return expired


async def place_group(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    """Put one group of parked runs in line; returns how many that were."""
    changes = Changes()
    placed = await placing.place_parked(tx, environment, changes=changes, effects=effects)
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return placed
