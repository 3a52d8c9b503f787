"""Every function that takes options, found by looking, and how each is called here."""

import inspect
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias, Unpack

import oncue
from oncue import batch, item, runs, task, tasks
from oncue.sdk.options import ReplayOptions, TriggerOptions

Payload: TypeAlias = dict[str, str]
Options: TypeAlias = dict[str, Any]
Way: TypeAlias = Callable[[Payload, Options], Any]
"""Call with a payload and options; the answer may have to be awaited."""

TARGET: Final = "option-target"


@task(id=TARGET)
async def target(payload: Payload) -> None:
    """Never runs here: nobody serves its queue, so that what it was triggered with can be looked at."""


def _item(payload: Payload, options: Options) -> Any:
    return tasks.batch_trigger(TARGET, [item(payload, **options)])


def _dict_item(payload: Payload, options: Options) -> Any:
    written: Any = {"payload": payload, "options": options}
    return target.batch_trigger([written])


async def _replay(payload: Payload, options: Options) -> None:
    await runs.replay(await tasks.trigger(TARGET, {}), payload=payload, **options)


def _replay_blocking(payload: Payload, options: Options) -> None:
    runs.sync.replay(tasks.sync.trigger(TARGET, {}), payload=payload, **options)


PLAIN: Final[dict[str, Way]] = {
    "Task.trigger": lambda payload, options: target.trigger(payload, **options),
    "Task.batch_trigger": lambda payload, options: target.batch_trigger([item(payload)], **options),
    "Task.item": lambda payload, options: batch.trigger_by_task([target.item(payload, **options)]),
    "tasks.trigger": lambda payload, options: tasks.trigger(TARGET, payload, **options),
    "tasks.batch_trigger": lambda payload, options: tasks.batch_trigger(TARGET, [item(payload)], **options),
    "batch.trigger": lambda payload, options: batch.trigger([item(TARGET, payload)], **options),
    "batch.trigger_by_task": lambda payload, options: batch.trigger_by_task([target.item(payload)], **options),
    "item": _item,
    "item as a dict": _dict_item,
    "runs.replay": _replay,
    "Task.sync.trigger": lambda payload, options: target.sync.trigger(payload, **options),
    "Task.sync.batch_trigger": lambda payload, options: target.sync.batch_trigger([item(payload)], **options),
    "Task.sync.item": lambda payload, options: batch.sync.trigger_by_task([target.sync.item(payload, **options)]),
    "tasks.sync.trigger": lambda payload, options: tasks.sync.trigger(TARGET, payload, **options),
    "tasks.sync.batch_trigger": lambda payload, options: tasks.sync.batch_trigger(TARGET, [item(payload)], **options),
    "batch.sync.trigger": lambda payload, options: batch.sync.trigger([item(TARGET, payload)], **options),
    "batch.sync.trigger_by_task": lambda payload, options: batch.sync.trigger_by_task(
        [target.item(payload)], **options
    ),
    "runs.sync.replay": _replay_blocking,
}
"""Functions that do not wait for the run."""

WAITING: Final[dict[str, Way]] = {
    "Task.trigger_and_wait": lambda payload, options: target.trigger_and_wait(payload, **options),
    "Task.batch_trigger_and_wait": lambda payload, options: target.batch_trigger_and_wait([item(payload)], **options),
    "tasks.trigger_and_wait": lambda payload, options: tasks.trigger_and_wait(TARGET, payload, **options),
    "tasks.batch_trigger_and_wait": lambda payload, options: tasks.batch_trigger_and_wait(
        TARGET, [item(payload)], **options
    ),
    "batch.trigger_and_wait": lambda payload, options: batch.trigger_and_wait([item(TARGET, payload)], **options),
    "batch.trigger_by_task_and_wait": lambda payload, options: batch.trigger_by_task_and_wait(
        [target.item(payload)], **options
    ),
    "item that is waited for": lambda payload, options: batch.trigger_and_wait([item(TARGET, payload, **options)]),
    "Task.sync.trigger_and_wait": lambda payload, options: target.sync.trigger_and_wait(payload, **options),
    "Task.sync.batch_trigger_and_wait": lambda payload, options: target.sync.batch_trigger_and_wait(
        [item(payload)], **options
    ),
    "tasks.sync.trigger_and_wait": lambda payload, options: tasks.sync.trigger_and_wait(TARGET, payload, **options),
    "tasks.sync.batch_trigger_and_wait": lambda payload, options: tasks.sync.batch_trigger_and_wait(
        TARGET, [item(payload)], **options
    ),
    "batch.sync.trigger_and_wait": lambda payload, options: batch.sync.trigger_and_wait(
        [item(TARGET, payload)], **options
    ),
    "batch.sync.trigger_by_task_and_wait": lambda payload, options: batch.sync.trigger_by_task_and_wait(
        [target.item(payload)], **options
    ),
}
"""Functions that wait for the run, so they are called inside runs only."""

WAYS: Final = PLAIN | WAITING
OTHER_FORMS: Final = {"item as a dict", "item that is waited for"}
"""What is tried as well, and is no function of its own."""


def is_of_batch(way: str) -> bool:
    """Whether the options are said to a batch and not to its item."""
    return "batch" in way and not way.endswith("item")


def is_blocking(way: str) -> bool:
    return ".sync." in way


async def call(way: str, payload: Payload, options: Options) -> None:
    """Call on a loop."""
    answer = WAYS[way](payload, options)
    if inspect.isawaitable(answer):
        await _finished(answer)


async def _finished(answer: Awaitable[Any]) -> None:
    await answer


def found() -> set[str]:
    """Walk through all public names, and return those that take options of a run."""
    return {name for name, function in _public() if _takes_options(function)}


def _public() -> Iterator[tuple[str, Any]]:
    for name in oncue.__all__:
        value = getattr(oncue, name)
        yield name, value
        if isinstance(value, types.ModuleType) or value is oncue.Task:
            yield from _members(name, value)
        if isinstance(value, types.ModuleType) and hasattr(value, "sync"):
            yield from _members(f"{name}.sync", type(value.sync))
    yield from _members("Task.sync", type(target.sync))


def _members(prefix: str, owner: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(owner).items():
        if not name.startswith("_") and inspect.isfunction(value):
            yield f"{prefix}.{name}", value


def _takes_options(function: Any) -> bool:
    if not inspect.isfunction(function):
        return False
    return any(
        parameter.kind is parameter.VAR_KEYWORD and _names_options(parameter.annotation)
        for parameter in inspect.signature(function).parameters.values()
    )


def _names_options(annotation: Any) -> bool:
    return annotation in (Unpack[TriggerOptions], Unpack[ReplayOptions]) or annotation in (
        "Unpack[TriggerOptions]",
        "Unpack[ReplayOptions]",
    )
