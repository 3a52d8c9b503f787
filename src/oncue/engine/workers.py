"""Workers: who executes, what they can run, and until when their lease holds.

One lease for a worker's whole process, extended by one heartbeat: its runs live and die with it.

Life of a run, this module's part::

    api/routes/work -> workers.announce -> tasks, queues; then upkeep.place_parked
"""

import datetime
import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine import declarations, dispatch, queues, recovery, room, versions
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.room import TooLarge
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.work import Announcement, TaskDeclaration
from oncue.store import queries as sql
from oncue.store.pool import Tx


class TaskRow(msgspec.Struct, frozen=True):
    """A task that the environment knows."""

    id: int
    slug: str
    region: str
    version: str


class Beaten(msgspec.Struct, frozen=True):
    """A worker whose lease was extended."""

    id: uuid.UUID


_sql = sql.load("workers")
_declare_tasks = _sql.many("declare_tasks", TaskRow)
_announce = _sql.none("announce")
_beat = _sql.maybe("beat", Beaten)
_MS = datetime.timedelta(milliseconds=1)


async def announce(
    tx: Tx,
    environment: Environment,
    announcement: Announcement,
    *,
    lease: datetime.timedelta,
    effects: Effects,
) -> str | None:
    """Take a worker in and record its tasks; returns the version that it runs under, None in development.

    Runs that had waited for one of them are put in line afterwards, by ``upkeep.place_parked``: that needs locks on
    queues of its own, and more than one transaction where they are many.

    Args:
        lease: How long it may be silent.

    Raises:
        BadRequest: Something cannot be stored or reckoned with.
        UnprocessableRequest: The limit of a queue makes no sense, or its tasks do not agree on it.
    """
    declarations.check(announcement)
    limits = declarations.declared_limits(announcement.tasks)
    tasks = {task.id: task for task in announcement.tasks}
    version = await _version(tx, environment, announcement)
    rows = await _declare_tasks(
        tx,
        env_id=environment.id,
        regions=["", announcement.region] if announcement.region else [""],
        versions=["", version] if version else [""],
        **_columns([tasks[slug] for slug in sorted(tasks)]),
    )
    own = {} if version is None else _own_rows(rows)
    if version is not None and announcement.version is None:
        await versions.take_back(tx, environment, version, [row.id for row in rows if row.version])
    changes = Changes()
    if limits:
        await queues.declare_limits(tx, environment, limits, changes=changes, effects=effects)
    await _announce(
        tx,
        id=ids.parse(ids.WORKER, announcement.worker_id),
        env_id=environment.id,
        hostname=announcement.hostname,
        pid=announcement.pid,
        sdk_version=announcement.sdk_version,
        places=announcement.places,
        tasks=[row.id for row in rows],
        queues=announcement.queues,
        region=announcement.region,
        version=version,
        is_version_made=announcement.version is None,
        cpus=announcement.cpus,
        memory=announcement.memory_bytes,
        unlocked=list(own),
        locked=list(own.values()),
        lease=lease,
    )
    if changes:
        await dispatch.settle(tx, environment, changes, effects=effects)
    return version


async def _version(tx: Tx, environment: Environment, announcement: Announcement) -> str | None:
    if environment.is_development:
        return None
    if announcement.version is None and announcement.fingerprint is not None:
        return await versions.made(tx, environment, announcement.fingerprint)
    return announcement.version


async def beat(
    tx: Tx, environment: Environment, worker: uuid.UUID, *, lease: datetime.timedelta
) -> list[TooLarge] | None:
    """Extend a worker's lease.

    Returns:
        The worker's tasks with runs in line for which no worker is large enough; None where there was no lease.
    """
    if await _beat(tx, id=worker, env_id=environment.id, lease=lease) is None:
        return None
    return await room.too_large(tx, environment, worker)


async def leave(tx: Tx, environment: Environment, worker: uuid.UUID, *, effects: Effects) -> None:
    """Let a worker go; what it still holds goes back in line and costs nothing."""
    await recovery.release_held(tx, environment, worker, effects=effects)


def _own_rows(rows: Sequence[TaskRow]) -> dict[int, int]:
    """Return for each row whose runs any version may start that of the worker's version."""
    own = {(row.slug, row.region): row.id for row in rows if row.version}
    return {row.id: own[row.slug, row.region] for row in rows if not row.version}


def _columns(tasks: list[TaskDeclaration]) -> dict[str, object]:
    return {
        "slugs": [task.id for task in tasks],
        "queues": [task.queue or f"task/{task.id}" for task in tasks],
        "retries": [None if task.retry is None else msgspec.json.encode(task.retry).decode() for task in tasks],
        "machines": [task.machine for task in tasks],
        "isolated": [task.isolated for task in tasks],
        "ttls": [None if task.ttl_ms is None else task.ttl_ms * _MS for task in tasks],
        "max_durations": [None if task.max_duration_ms is None else task.max_duration_ms * _MS for task in tasks],
        "schemas": [bytes(task.payload_schema).decode() if task.payload_schema else None for task in tasks],
        "files": [task.file for task in tasks],
    }
