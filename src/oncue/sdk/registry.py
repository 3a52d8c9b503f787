"""Registry: the tasks that this process has defined, by id.

Filled by the decorator as modules are imported; read by the worker, which announces what is here.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oncue.protocol.work import TaskDeclaration
    from oncue.sdk.task import Task

_tasks: "dict[str, Task[Any, Any]]" = {}


def register(task: "Task[Any, Any]") -> None:
    """Add a task; the same function defined again, by a reload, replaces itself.

    Raises:
        ValueError: Another function has taken the id; names both places.
    """
    known = _tasks.get(task.id)
    if known is not None and known.origin.isdisjoint(task.origin):
        raise ValueError(
            f"task id {task.id!r} is taken: {known.file} ({known.name}) and {task.file} ({task.name}) both define it; "
            "give one of them an id of its own, @task(id=...)"
        )
    _tasks[task.id] = task


def find(task_id: str) -> "Task[Any, Any] | None":
    """Return the task of this id, if this process has defined it."""
    return _tasks.get(task_id)


def all_tasks() -> "list[Task[Any, Any]]":
    """Return every task of this process, in the order of definition."""
    return list(_tasks.values())


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Start from an empty registry and put the former one back at the end: for tests and for reloads."""
    before = dict(_tasks)
    _tasks.clear()
    try:
        yield
    finally:
        _tasks.clear()
        _tasks.update(before)


def declaration(task: "Task[Any, Any]") -> "TaskDeclaration":
    """Return what a worker announces of a task.

    Raises:
        TypeError: An annotation cannot be resolved, or JSON cannot be read into it.
    """
    import datetime

    import msgspec

    from oncue.protocol.work import TaskDeclaration

    one_ms = datetime.timedelta(milliseconds=1)
    # Resolved here so that a worker refuses to start, rather than a run to end, over a bad annotation.
    _ = task.output_shape
    limit = task.queue.concurrency_limit if task.queue is not None and task.queue.declares_limit else msgspec.UNSET
    return TaskDeclaration(
        id=task.id,
        queue=None if task.queue is None else task.queue.name,
        concurrency_limit=limit,
        retry=task.retry,
        machine=task.machine,
        isolated=task.is_isolated,
        ttl_ms=None if task.ttl is None else task.ttl // one_ms,
        max_duration_ms=None if task.max_duration is None else task.max_duration // one_ms,
        payload_schema=task.payload_shape.json_schema(),
        file=task.file,
    )
