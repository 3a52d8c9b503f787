"""Placing: which line a run stands in.

A line is named by queue, concurrency key and task. Queues, lanes and lines come into being when they are first named;
a task that no worker has announced has no line, and its runs are parked as PENDING_VERSION until one does. What such a
run takes from its task, where its caller named nothing else, it is given then: queue, machine, expiry.

Life of a run, this module's part::

    triggering -> placing.find -> queues.declare_limits, live row
    upkeep -> placing.place_parked: PENDING_VERSION -> PENDING
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final, TypedDict

import msgspec

from oncue.engine import lifetimes, queues
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import machines
from oncue.store import queries
from oncue.store.pool import Tx

GROUP: Final = 1_000
"""Parked runs placed in one transaction."""


class Wanted(msgspec.Struct, frozen=True):
    """Where a run would stand."""

    task: str
    queue: str | None
    """None: the task's own."""
    key: str | None
    limit: int | None = None
    """What the caller says the queue's limit is; None: nothing."""
    region: str = ""
    """Whose workers it is for; empty: any."""
    version: str = ""
    """Whose code it is for; empty: any."""
    softly: bool = False
    """Any version's, where that one does not have the task."""
    machine: str | None = None
    """What the run is to have; None: what its task declares."""


class Place(msgspec.Struct, frozen=True):
    """What there is of a wanted place."""

    position: int
    task_id: int | None
    version: str | None
    """Whose it is; None where the task is unknown."""
    task_ttl: datetime.timedelta | None
    task_machine: str | None
    held_to: str
    """The machine that the run needs a worker's room for; empty: none."""
    queue: str
    queue_id: int | None
    code_limit: int | None
    lane_id: int | None
    line_id: int | None


class ParkedRun(msgspec.Struct, frozen=True):
    """A run whose task has been announced since it was triggered."""

    run_id: uuid.UUID
    task: str
    queue: str | None
    """None: the task's own, as the caller named none."""
    concurrency_key: str | None
    ttl: datetime.timedelta | None
    region: str | None
    version: str | None
    machine: str | None


class StandingRun(msgspec.Struct, frozen=True):
    """A run that waits for its time, and what decides about its line."""

    run_id: uuid.UUID
    task: str
    queue: str
    concurrency_key: str | None
    region: str | None
    version: str | None
    machine: str | None


class Placed(msgspec.Struct, frozen=True):
    """A run that stands in its line now."""

    run_id: uuid.UUID
    line_id: int


_sql = queries.load("placing")
_find_places = _sql.many("find_places", Place)
_make_lanes = _sql.none("make_lanes")
_make_held = _sql.none("make_held")
_make_lines = _sql.none("make_lines")
_lock_parked = _sql.many("lock_parked", ParkedRun)
_place = _sql.many("place", Placed)
_read_standing = _sql.many("read_standing", StandingRun)
_move = _sql.none("move")


async def find(
    tx: Tx, environment: Environment, wanted: Sequence[Wanted], *, changes: Changes, effects: Effects
) -> dict[Wanted, Place]:
    """Return the place of each wanted line, made if it was missing; ``line_id`` is None for an unknown task.

    Where a limit is named that differs from what is stored, it becomes what the code says of its queue.
    """
    places = await _find(tx, environment, wanted)
    missing = [want for want, place in places.items() if _is_incomplete(place)]
    limits = {
        place.queue: want.limit
        for want, place in places.items()
        if want.limit is not None and place.code_limit != want.limit
    }
    if limits:
        # Whoever locks several queues, or lines, locks all of them at once, in one order.
        await queues.declare_limits(
            tx,
            environment,
            limits,
            among=[places[want].queue for want in missing],
            lines=[place.line_id for place in places.values() if place.line_id is not None],
            changes=changes,
            effects=effects,
        )
    if missing:
        await _make(tx, environment, missing, places)
        places.update(await _find(tx, environment, missing))
    return places


class Where(TypedDict):
    """For whose workers a run is."""

    region: str
    version: str


def where(environment: Environment, region: str | None, version: str | None) -> Where:
    """Return for whose workers a run is that asks for a region or a version, as fields of ``Wanted``."""
    if environment.is_development:
        return {"region": "", "version": ""}
    return {"region": region or "", "version": version or ""}


async def place_parked(tx: Tx, environment: Environment, *, changes: Changes, effects: Effects) -> int:
    """Put runs in line whose task no worker knew when they were triggered, at most ``GROUP``.

    Returns:
        How many were placed; ``GROUP`` means there may be more.
    """
    parked = await _lock_parked(tx, env_id=environment.id, is_placed=not environment.is_development, limit=GROUP)
    if not parked:
        return 0
    wants = {
        run.run_id: Wanted(
            run.task,
            run.queue,
            run.concurrency_key,
            machine=run.machine,
            **where(environment, run.region, run.version),
        )
        for run in parked
    }
    places = await find(tx, environment, list(dict.fromkeys(wants.values())), changes=changes, effects=effects)
    found = [places[wants[run.run_id]] for run in parked]
    placed = await _place(
        tx,
        env_id=environment.id,
        run_ids=[run.run_id for run in parked],
        lines=[place.line_id for place in found],
        queues=[place.queue for place in found],
        machines=[place.task_machine or machines.DEFAULT for place in found],
        ttls=[
            lifetimes.effective(environment, run.ttl, place.task_ttl) for run, place in zip(parked, found, strict=True)
        ],
    )
    changes.pending.update(row.line_id for row in placed)
    effects.change(environment, [row.run_id for row in placed])
    return len(placed)


async def move(
    tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], *, changes: Changes, effects: Effects
) -> None:
    """Let runs that wait for their time stand where their machine, which has changed, puts them."""
    if not runs:
        return
    standing = await _read_standing(tx, env_id=environment.id, run_ids=runs)
    wants = [
        Wanted(
            run.task,
            run.queue,
            run.concurrency_key,
            machine=run.machine,
            **where(environment, run.region, run.version),
        )
        for run in standing
    ]
    places = await find(tx, environment, list(dict.fromkeys(wants)), changes=changes, effects=effects)
    await _move(
        tx,
        env_id=environment.id,
        run_ids=[run.run_id for run in standing],
        lines=[places[want].line_id for want in wants],
    )


async def _find(tx: Tx, environment: Environment, wanted: Sequence[Wanted]) -> dict[Wanted, Place]:
    rows = await _find_places(
        tx,
        env_id=environment.id,
        tasks=[want.task for want in wanted],
        queues=[want.queue for want in wanted],
        keys=[want.key for want in wanted],
        regions=[want.region for want in wanted],
        versions=[want.version for want in wanted],
        softly=[want.softly for want in wanted],
        machines=[want.machine for want in wanted],
        is_held=not environment.is_development,
        default=machines.DEFAULT,
    )
    return {wanted[row.position - 1]: row for row in rows}


async def _make(tx: Tx, environment: Environment, missing: Sequence[Wanted], places: dict[Wanted, Place]) -> None:
    named = [places[want].queue for want in missing]
    keys = [want.key for want in missing]
    tasks = [want.task for want in missing]
    regions = [want.region for want in missing]
    versions = [places[want].version or "" for want in missing]
    held_to = [places[want].held_to for want in missing]
    if any(held_to):
        await _make_held(tx, env_id=environment.id, tasks=tasks, regions=regions, versions=versions, held_to=held_to)
    await queues.make(tx, environment, dict.fromkeys(named))
    await _make_lanes(tx, env_id=environment.id, queues=named, keys=keys)
    await _make_lines(
        tx,
        env_id=environment.id,
        tasks=tasks,
        queues=named,
        keys=keys,
        regions=regions,
        versions=versions,
        held_to=held_to,
    )


def _is_incomplete(place: Place) -> bool:
    # An unknown task has its queue made, so that a limit given with the trigger is not forgotten, but no line.
    return place.queue_id is None or (place.task_id is not None and place.line_id is None)
