"""Obstacles: why a run that is due does not start.

Said where it is known for sure; a run without an obstacle is in line, and others are before it.
"""

import uuid

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol.machines import SIZES, Size
from oncue.protocol.runs import PendingReason
from oncue.store import queries
from oncue.store.pool import Tx


class Standing(msgspec.Struct, frozen=True):
    """Where a run in line stands, and the workers that could have it."""

    task: str
    region: str
    version: str
    machine: str
    queue: str
    paused: bool
    concurrency_key: str
    slots: int | None
    taken: int
    workers: int
    most_cpus: float | None
    most_memory: int | None
    is_large: bool
    """One of them is large enough for the machine."""
    has_room: bool
    """And has room for it now."""


_sql = queries.load("obstacles")
_find_standing = _sql.maybe("find_standing", Standing)


async def find(tx: Tx, environment: Environment, run: uuid.UUID) -> PendingReason | None:
    """Return what keeps a run in line from starting; None where it is not in line, or only others are before it."""
    standing = await _find_standing(
        tx,
        env_id=environment.id,
        run_id=run,
        machines=list(SIZES),
        cpus=[size.cpus for size in SIZES.values()],
        memory=[size.memory_bytes for size in SIZES.values()],
    )
    return None if standing is None else _obstacle(standing)


def unknown_task(environment: Environment, task: str, region: str | None, version: str | None) -> PendingReason:
    """Return what a run waits for whose task no worker has announced."""
    if environment.is_development:
        region = version = None
    return _no_worker(task, region or "", version or "")


def _obstacle(standing: Standing) -> PendingReason | None:
    if not standing.workers:
        return _no_worker(standing.task, standing.region, standing.version)
    if standing.paused:
        why = f"queue {standing.queue!r} is paused; resume it with: oncue queues resume {standing.queue}"
        return PendingReason("QUEUE_PAUSED", why)
    if standing.slots is not None and standing.taken >= standing.slots:
        key = f" for concurrency key {standing.concurrency_key!r}" if standing.concurrency_key else ""
        return PendingReason(
            "CONCURRENCY_LIMIT", f"queue {standing.queue!r} executes as many runs as it may{key}: {standing.slots:,}"
        )
    if standing.machine and not standing.has_room:
        return _no_room(standing, SIZES[standing.machine])
    return None


def _no_room(standing: Standing, needed: Size) -> PendingReason:
    machine = f"machine {standing.machine} ({needed})"
    largest = Size(standing.most_cpus or 0, standing.most_memory or 0)
    if not standing.is_large:
        return PendingReason(
            "MACHINE_TOO_LARGE",
            f"no worker that has task {standing.task!r} is large enough for {machine}: the largest has {largest}; "
            "start a worker on a larger host, or say what it has with --cpus and --memory",
        )
    return PendingReason(
        "NO_ROOM", f"no worker that has task {standing.task!r} has room for {machine} now: others are executing"
    )


def _no_worker(task: str, region: str, version: str) -> PendingReason:
    where = f" in region {region}" if region else ""
    under = f" under version {version}" if version else ""
    options = (f" --region {region}" if region else "") + (f" --version {version}" if version else "")
    return PendingReason(
        "NO_WORKER",
        f"no worker that has task {task!r}{where}{under} is there; start one with: oncue worker MODULE{options}",
    )
