"""Definition: the decorator that makes a task of a function.

Whatever could not run is refused here, when the module is imported: parameters that a task cannot be called with,
settings that make no sense, an id that is taken.

Life of a run, this module's part::

    @task(...) -> Task -> registry -> worker announces it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from oncue.protocol import durations, limits
from oncue.sdk import queue as queues
from oncue.sdk import registry, signature
from oncue.sdk.task import AsyncTask, SyncTask

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Unpack

    from oncue.protocol.durations import Duration
    from oncue.protocol.machines import Machine
    from oncue.protocol.retry import RetryPolicy
    from oncue.sdk.context import Context
    from oncue.sdk.hooks import HookOptions, Hooks
    from oncue.sdk.options import QueueDict
    from oncue.sdk.queue import Queue

P = TypeVar("P")
R = TypeVar("R")


# A coroutine function also fits the overloads for plain ones; the first that fits is taken, so those stand below.


class TaskDecorator(Protocol):
    """What ``task(...)`` returns: put it before a function."""

    @overload
    def __call__(self, function: Callable[[], Coroutine[Any, Any, R]], /) -> AsyncTask[None, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[[P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[[P, Context], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[[], R], /) -> SyncTask[None, R]: ...
    @overload
    def __call__(self, function: Callable[[P], R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[[P, Context], R], /) -> SyncTask[P, R]: ...


@overload
def task(function: Callable[[], Coroutine[Any, Any, R]], /) -> AsyncTask[None, R]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[[P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[[P, Context], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[[], R], /) -> SyncTask[None, R]: ...
@overload
def task(function: Callable[[P], R], /) -> SyncTask[P, R]: ...
@overload
def task(function: Callable[[P, Context], R], /) -> SyncTask[P, R]: ...
@overload
def task(
    *,
    id: str | None = None,
    queue: str | Queue | QueueDict | None = None,
    retry: RetryPolicy | Mapping[str, Any] | None = None,
    machine: Machine | None = None,
    isolate: bool = False,
    max_duration: Duration | None = None,
    ttl: Duration | None = None,
    strict: bool = False,
    evict: bool = True,
    **hooks: Unpack[HookOptions],
) -> TaskDecorator: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    id: str | None = None,  # noqa: A002 - as users write it
    queue: str | Queue | QueueDict | None = None,
    retry: RetryPolicy | Mapping[str, Any] | None = None,
    machine: str | None = None,
    isolate: bool = False,
    max_duration: Duration | None = None,
    ttl: Duration | None = None,
    strict: bool = False,
    evict: bool = True,
    **hooks: Unpack[HookOptions],
) -> Any:
    """Make a task of a function, ``async def`` or plain ``def``.

    The function takes nothing, ``(payload)`` or ``(payload, ctx)``. The annotation of ``payload`` is the schema: a
    dataclass, TypedDict, msgspec Struct, pydantic model or plain type. Called, the task is the ordinary function.

    Args:
        function: Given by Python where the decorator stands without parentheses.
        id: 1 to 256 characters, one of its own in the environment; by default the function's name with dashes.
        queue: A name, ``queue(...)`` or a dict; by default a queue of the task's own.
        retry: ``Retry(...)`` or a dict of its arguments; by default one attempt.
        machine: Preset of memory and CPU: each run has a process of its own that is held to it.
        isolate: A process of its own for each run, held to ``small-1x`` where no machine is named.
        max_duration: Longest compute time of an attempt; numbers are seconds.
        ttl: How long a run may wait before it starts; numbers are seconds.
        strict: A run that is started again and calls with another payload than before fails with ``CallDiffers``.
        evict: False forbids a worker to unload runs that wait, which start again from the top when they are woken.
        hooks: Functions that are called as runs of the task begin and end; see ``HookOptions``.

    Raises:
        TypeError: A task cannot be called with the function's parameters; says what is accepted.
        ValueError: A setting makes no sense, or another function has the id; names both places.
    """

    def decorate(function: Callable[..., Any]) -> AsyncTask[Any, Any] | SyncTask[Any, Any]:
        signature.place(function)
        make = AsyncTask if signature.is_async(function) else SyncTask
        made: AsyncTask[Any, Any] | SyncTask[Any, Any] = make(
            function,
            id=_id(id, function),
            queue=None if queue is None else queues.read(queue),
            retry=_retry(retry),
            machine=_machine(machine),
            isolate=isolate,
            max_duration=None if max_duration is None else durations.read(max_duration, "max_duration"),
            ttl=None if ttl is None else durations.read(ttl, "ttl"),
            strict=strict,
            evict=evict,
            hooks=_hooks(hooks) if hooks else None,
        )
        registry.register(made)
        return made

    return decorate if function is None else decorate(function)


def _hooks(given: HookOptions) -> Hooks:
    from oncue.sdk import hooks

    return hooks.read(given)


def _id(given: object, function: Callable[..., Any]) -> str:
    found = function.__name__.strip("_").replace("_", "-") if given is None else given
    if not isinstance(found, str) or not 0 < len(found) <= limits.MAX_TASK_ID_LENGTH:
        raise ValueError(f"task id {found!r} is not accepted; expected 1 to {limits.MAX_TASK_ID_LENGTH} characters")
    return found


def _retry(given: RetryPolicy | Mapping[str, Any] | None) -> RetryPolicy | None:
    if given is None:
        return None
    from collections.abc import Mapping

    from oncue.protocol.retry import Retry, RetryPolicy

    if isinstance(given, RetryPolicy):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"retry={given!r} is not accepted; expected Retry(max_attempts=4, ...) or a dict of its arguments"
        )
    accepted = tuple(Retry.__annotations__)[:-1]
    for name in given:
        if name not in accepted:
            from oncue.sdk.options import unknown

            raise unknown(str(name), accepted, "key of retry")
    return Retry(**given)


def _machine(given: str | None) -> str | None:
    if given is None:
        return None
    from oncue.sdk import option_values

    return option_values.read_machine(given)
