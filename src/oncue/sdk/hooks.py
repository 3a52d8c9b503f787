"""Hooks: functions of yours that are called as a run begins and ends, and around it.

For one task as keywords of ``@task``, for all tasks of a worker by decorating here. Each takes one ``RunEvent``, plain
or ``async def``; those for all come first, around it the outermost.

Example::

    @hooks.on_failure
    async def tell(event: RunEvent) -> None:
        await pager.send(f"{event.ctx.task.id}: {event.error}")

    @task(on_start=greet, middleware=database)
    async def report(payload: Order) -> None: ...

Life of a run, this module's part::

    worker/executor -> worker/lifecycle -> hooks -> the task's function -> hooks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, TypeVar

if TYPE_CHECKING:
    from oncue.sdk.context import Context


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What a hook is told."""

    ctx: Context
    payload: Any
    """As the task gets it; None where it takes none."""
    output: Any = None
    """What the task returned, for ``on_success`` and ``on_complete``."""
    error: BaseException | None = None
    """What it raised, for ``catch_error``, ``on_failure`` and ``on_complete``."""


Hook: TypeAlias = Callable[[RunEvent], Any]
F = TypeVar("F", bound=Hook)


class HookOptions(TypedDict, total=False):
    """Hooks of a task, each a function or several."""

    on_start: Hook | Sequence[Hook]
    """Before the first attempt; what it raises fails the attempt."""
    on_success: Hook | Sequence[Hook]
    """After the run has succeeded."""
    on_failure: Hook | Sequence[Hook]
    """After the last attempt has failed."""
    on_complete: Hook | Sequence[Hook]
    """After either of the two."""
    on_cancel: Hook | Sequence[Hook]
    """After the run was cancelled while its code ran; nothing of oncue may be called there."""
    catch_error: Hook | Sequence[Hook]
    """When an attempt has raised, before it is decided what follows: returns an exception to put in its place
    (``AbortRun("why")`` for no retry, ``RetryAfter("30s")`` for one at a time), or None to pass."""
    middleware: Hook | Sequence[Hook]
    """Around each attempt: returns a context manager, for connections and the like."""


HOOKS: Final[tuple[str, ...]] = tuple(HookOptions.__annotations__)


@dataclass(slots=True)
class Hooks:
    """Functions by what they are called for, in order."""

    on_start: list[Hook] = field(default_factory=list)
    on_success: list[Hook] = field(default_factory=list)
    on_failure: list[Hook] = field(default_factory=list)
    on_complete: list[Hook] = field(default_factory=list)
    on_cancel: list[Hook] = field(default_factory=list)
    catch_error: list[Hook] = field(default_factory=list)
    middleware: list[Hook] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in HOOKS)

    def within(self, outer: Hooks) -> Hooks:
        """Return those of a task together with those of all, which come first."""
        return Hooks(**{name: [*getattr(outer, name), *getattr(self, name)] for name in HOOKS})


EVERY_TASK: Final = Hooks()
"""Hooks of all tasks of this process."""


def read(options: HookOptions) -> Hooks:
    """Read the hooks that a task was given.

    Raises:
        TypeError: There is no such hook, or it cannot be called.
    """
    from oncue.sdk.options import unknown

    found = Hooks()
    for name, given in options.items():
        if name not in HOOKS:
            raise unknown(name, HOOKS, "hook")
        several = list(given) if isinstance(given, Sequence) else [given]
        for each in several:
            if not callable(each):
                raise TypeError(
                    f"{name}={each!r} cannot be called; expected a function that takes a RunEvent, or several"
                )
        getattr(found, name).extend(several)
    return found


def on_start(hook: F) -> F:
    """Call a function before the first attempt of every run, each time it starts: ``@hooks.on_start``."""
    EVERY_TASK.on_start.append(hook)
    return hook


def on_success(hook: F) -> F:
    """Call a function after every run that succeeded: ``@hooks.on_success``."""
    EVERY_TASK.on_success.append(hook)
    return hook


def on_failure(hook: F) -> F:
    """Call a function after the last failed attempt of every run: ``@hooks.on_failure``."""
    EVERY_TASK.on_failure.append(hook)
    return hook


def on_complete(hook: F) -> F:
    """Call a function after every run that succeeded or failed for good: ``@hooks.on_complete``."""
    EVERY_TASK.on_complete.append(hook)
    return hook


def on_cancel(hook: F) -> F:
    """Call a function after every run that was cancelled while its code ran: ``@hooks.on_cancel``."""
    EVERY_TASK.on_cancel.append(hook)
    return hook


def catch_error(hook: F) -> F:
    """Let a function look at what every attempt raises, and put something in its place: ``@hooks.catch_error``."""
    EVERY_TASK.catch_error.append(hook)
    return hook


def middleware(hook: F) -> F:
    """Put a context manager around every attempt: ``@hooks.middleware`` above ``@asynccontextmanager``."""
    EVERY_TASK.middleware.append(hook)
    return hook
