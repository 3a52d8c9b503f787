"""Items: one call of a task inside a batch.

Written as ``item(payload, **options)`` where the batch says the task, ``item("task-id", payload, **options)`` or
``my_task.item(payload, **options)`` where each item does, or as the same in a dict. What a batch makes of its items is
in ``filling.py``.
"""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar, Unpack, overload

from oncue.sdk.callee import Callee
from oncue.sdk.missing import MISSING, Missing
from oncue.sdk.options import TriggerOptions, unknown

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class Item(Generic[P_co, R_co]):
    """One call of a task, waiting to be sent with its batch; P is the payload's type, R the output's."""

    __slots__ = ("options", "payload", "task", "task_id")

    def __init__(
        self,
        payload: "P_co | Missing",
        options: Mapping[str, Any],
        *,
        task_id: str | None = None,
        task: Callee | None = None,
    ) -> None:
        self.payload = payload
        self.options = options
        self.task_id = task_id
        """None where the batch says the task."""
        self.task = task
        """The task itself, where it is at hand: its payload is checked and its output read as annotated."""

    def __repr__(self) -> str:
        return f"item({self.task_id!r}, ...)" if self.task_id else "item(...)"


class ItemDict(TypedDict, total=False):
    """An item, written as a dict."""

    payload: Any
    options: TriggerOptions
    id: str
    """The task's id, where the batch does not say it."""
    task: Callee


AnyItem: TypeAlias = Item[Any, Any] | ItemDict
Items: TypeAlias = Iterable[AnyItem] | AsyncIterable[AnyItem]


@overload
def item(payload: P, /, **options: Unpack[TriggerOptions]) -> Item[P, Any]: ...
@overload
def item(task_id: str, payload: P, /, **options: Unpack[TriggerOptions]) -> Item[P, Any]: ...
def item(*arguments: Any, **options: Unpack[TriggerOptions]) -> Item[Any, Any]:
    """Make an item of a batch.

    Args:
        arguments: ``payload`` where the batch says the task, else ``task_id, payload``.
        options: As for ``trigger``; they win over those of the batch.

    Raises:
        TypeError: Neither one nor two arguments, or the first of two is not a task's id.

    Example::

        await child.batch_trigger([item({"n": 1}), item({"n": 2}, delay="1h")])
        await batch.trigger([item("resize", {"n": 1}), item("upload", {"n": 2})])
    """
    match arguments:
        case (payload,):
            return Item(payload, options)
        case (str() as task_id, payload):
            return Item(payload, options, task_id=task_id)
        case (other, _):
            raise TypeError(
                f"item() begins with {other!r}, which is no task's id; expected item(payload) or item('task', payload)"
            )
        case _:
            raise TypeError(
                f"item() got {len(arguments)} arguments; expected item(payload) or item('task-id', payload)"
            )


def read(given: object, index: int) -> Item[Any, Any]:
    """Read what a user put into a batch.

    Raises:
        TypeError: It is no item; names its position and what is accepted.
    """
    match given:
        case Item():
            return given
        case Mapping():
            for key in given:
                if key not in ItemDict.__annotations__:
                    raise unknown(str(key), tuple(ItemDict.__annotations__), f"key of items[{index}]")
            task, task_id = given.get("task"), given.get("id")
            if isinstance(task, Callee) and task_id in (None, task.id):
                return Item(given.get("payload", MISSING), given.get("options") or {}, task_id=task.id, task=task)
            if task is None and (task_id is None or isinstance(task_id, str)):
                return Item(given.get("payload", MISSING), given.get("options") or {}, task_id=task_id)
            raise TypeError(f"items[{index}] has id={task_id!r} and task={task!r}; expected a task's id, or a task")
        case _:
            raise TypeError(
                f"items[{index}] is {type(given).__name__}; expected item(payload), item('task-id', payload), "
                "my_task.item(payload) or a dict with payload and options"
            )
