"""Queue reading: queues as clients see them, and which one they mean.

A queue comes into being when it is first named. Those that tasks declare are named by whoever asks for them, so that a
queue can be paused before its first run is triggered.

Life of a run, this module's part::

    api/routes/queues -> queue_reading.list_queues, retrieve -> QueuePage, QueueView
    queues.pause, override_limit -> queue_reading.find
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.queues import (
    TASK_PREFIX,
    OffsetPagination,
    QueueConcurrency,
    QueueNaming,
    QueuePage,
    QueueView,
)
from oncue.store import queries
from oncue.store.pool import Tx

_LARGEST_ID: Final = 2**31 - 1


class QueueRef(msgspec.Struct, frozen=True):
    """Which queue a client means."""

    naming: QueueNaming
    value: str


class QueueId(msgspec.Struct, frozen=True):
    """The id of a queue, as a query returns it."""

    id: int


class QueueRow(msgspec.Struct, frozen=True):
    """A queue with its counts."""

    id: int
    name: str
    paused: bool
    code_limit: int | None
    override_limit: int | None
    overridden_at: datetime.datetime | None
    overridden_by: str | None
    running: int
    queued: int


class QueueCount(msgspec.Struct, frozen=True):
    """How many queues there are."""

    queues: int


class TaskQueue(msgspec.Struct, frozen=True):
    """The queue that a task declares."""

    queue: str


_sql = queries.load("queue_reading")
_make_declared = _sql.none("make_declared")
_find_by_id = _sql.maybe("find_by_id", QueueId)
_find_by_name = _sql.maybe("find_by_name", QueueId)
_queue_of_task = _sql.maybe("queue_of_task", TaskQueue)
_count_queues = _sql.one("count_queues", QueueCount)
_page_of_queues = _sql.many("page_of_queues", QueueId)
_read_queues = _sql.many("read_queues", QueueRow)


async def list_queues(tx: Tx, environment: Environment, *, page: int, size: int) -> QueuePage:
    """Return a page of queues, by name.

    Args:
        page: From 1; one beyond the last is empty.
        size: Queues on a page, at least 1.
    """
    await _make_declared(tx, env_id=environment.id)
    count = (await _count_queues(tx, env_id=environment.id)).queues
    found = await _page_of_queues(tx, env_id=environment.id, skipped=(page - 1) * size, size=size)
    views = await _read(tx, environment, [row.id for row in found])
    return QueuePage(views, OffsetPagination(page, -(-count // size), count))


async def retrieve(tx: Tx, environment: Environment, queue: QueueRef) -> QueueView:
    """Return a queue.

    Raises:
        BadRequest: The id is none.
        NotFound: There is none in the caller's environment.
    """
    return await view(tx, environment, await find(tx, environment, queue))


async def view(tx: Tx, environment: Environment, queue: int) -> QueueView:
    """Return a queue that is there."""
    (found,) = await _read(tx, environment, [queue])
    return found


async def find(tx: Tx, environment: Environment, queue: QueueRef) -> int:
    """Return the row id of the queue that a client means.

    Raises:
        BadRequest: The id is none.
        NotFound: There is none in the caller's environment; says where to look.
    """
    found = await _find(tx, environment, queue)
    if found is None and await _make_declared(tx, env_id=environment.id):
        found = await _find(tx, environment, queue)
    if found is None:
        raise NotFound(await _missing(tx, environment, queue))
    return found.id


async def _find(tx: Tx, environment: Environment, queue: QueueRef) -> QueueId | None:
    match queue.naming:
        case "id":
            number = _number(queue.value)
            return await _find_by_id(tx, env_id=environment.id, id=number) if number <= _LARGEST_ID else None
        case "task":
            return await _find_by_name(tx, env_id=environment.id, name=TASK_PREFIX + queue.value)
        case "custom":
            return await _find_by_name(tx, env_id=environment.id, name=queue.value)


async def _read(tx: Tx, environment: Environment, queues: Sequence[int]) -> list[QueueView]:
    rows = await _read_queues(tx, env_id=environment.id, ids=queues) if queues else []
    return [_view(row) for row in rows]


def _view(row: QueueRow) -> QueueView:
    of_task = row.name.startswith(TASK_PREFIX)
    limit = row.code_limit if row.override_limit is None else row.override_limit
    return QueueView(
        id=ids.show(ids.QUEUE, uuid.UUID(int=row.id)),
        name=row.name.removeprefix(TASK_PREFIX),
        type="task" if of_task else "custom",
        running=row.running,
        queued=row.queued,
        paused=row.paused,
        concurrency_limit=limit,
        concurrency=QueueConcurrency(
            current=limit,
            base=row.code_limit,
            override=row.override_limit,
            overridden_at=row.overridden_at,
            overridden_by=row.overridden_by,
        ),
    )


def _number(text: str) -> int:
    try:
        return ids.parse(ids.QUEUE, text).int
    except BadRequest as error:
        raise BadRequest(f"{error.message}; to name a queue say type=task with a task's id, or type=custom") from None


async def _missing(tx: Tx, environment: Environment, queue: QueueRef) -> str:
    """Say that there is no such queue, and what the client may have meant."""
    match queue.naming:
        case "id":
            return f"no queue {queue.value} in this environment; list the queues to see those that there are"
        case "task":
            declared = await _queue_of_task(tx, env_id=environment.id, task=queue.value)
            if declared is not None:
                return (
                    f"task {queue.value[:60]!r} has no queue of its own: its runs stand in queue {declared.queue!r}; "
                    "ask for that with type=custom"
                )
            return (
                f"no queue of a task {queue.value[:60]!r} in this environment; it is there once a worker has announced "
                "the task, or a run of it was triggered"
            )
        case "custom":
            return (
                f"no queue {queue.value[:60]!r} in this environment; it is there once a task declares it, or a run "
                "names it. The queue of a task's own has type=task and the task's id"
            )
