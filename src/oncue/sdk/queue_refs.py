"""Queue references: a queue by anything that names it."""

from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict
from urllib.parse import quote

from oncue.protocol import ids
from oncue.protocol.errors import BadRequest
from oncue.protocol.queues import TASK_PREFIX, QueueNaming, QueueView
from oncue.sdk.queue import Queue
from oncue.sdk.task import Task


class QueueName(TypedDict):
    """A queue, as official clients name it."""

    type: Literal["task", "custom"]
    name: str
    """The task's id, or the queue's name."""


QueueRef: TypeAlias = str | Queue | QueueView | Task[Any, Any] | QueueName
"""A queue, by its name or id, by what ``queue(...)`` returned, by a task (the queue that its runs stand in unless told
otherwise), by ``{"type", "name"}``, or by what these functions return. A task's own queue is named ``task/<id>``."""

_ACCEPTED: Final = (
    "a queue's name or id, queue(...), a task, {'type': 'task', 'name': ...} or {'type': 'custom', 'name': ...}"
)


class Named(NamedTuple):
    """What the server calls a queue by."""

    naming: QueueNaming
    value: str

    @property
    def path(self) -> str:
        """Its path in the API."""
        # Slashes are encoded twice (wire contract, trap 14): a proxy may decode a path once.
        return f"/api/v1/queues/{quote(self.value.replace('/', '%2F'), safe='')}"


def read(queue: object) -> Named:
    """Return what the server calls a queue by.

    Raises:
        TypeError: This names no queue.
    """
    match queue:
        case QueueView(id=id_):
            return Named("id", id_)
        case Task(id=task, queue=None):
            return Named("task", task)
        case Queue(name=name) | Task(queue=Queue(name=name)):
            return _by_name(name)
        case str() if queue:
            return Named("id", queue) if _is_id(queue) else _by_name(queue)
        case {"type": "task", "name": str(name)} if name:
            return Named("task", name)
        case {"type": "custom", "name": str(name)} if name:
            return Named("custom", name)
        case _:
            raise TypeError(f"{queue!r} is not a queue; expected {_ACCEPTED}")


def read_name(queue: object) -> str:
    """Return the name that runs show of a queue; a task's own is ``task/<id>``.

    Raises:
        TypeError: This names no queue.
        ValueError: It is a queue's id.
    """
    if isinstance(queue, QueueView):
        return f"{TASK_PREFIX}{queue.name}" if queue.type == "task" else queue.name
    naming, value = read(queue)
    if naming == "id":
        raise ValueError(
            f"queue={value!r} is a queue's id, and runs show its name; pass the name, or what "
            "queues.retrieve(...) returns"
        )
    return f"{TASK_PREFIX}{value}" if naming == "task" else value


def _by_name(name: str) -> Named:
    task = name.removeprefix(TASK_PREFIX)
    return Named("task", task) if task and task != name else Named("custom", name)


def _is_id(text: str) -> bool:
    try:
        ids.parse(ids.QUEUE, text)
    except BadRequest:
        return False
    return True
