"""Annotations: what a task function takes and returns, read off its signature."""

import inspect
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, get_type_hints


class Place(NamedTuple):
    """Where a function stands in its source."""

    file: str
    """Full path."""
    line: int
    module: str
    qualname: str


def parameters(function: Callable[..., Any]) -> Literal[0, 1, 2]:
    """Return how many parameters a task function has.

    Raises:
        TypeError: A task cannot be called with such parameters; says what is accepted.
    """
    accepted = "a task is called with (), (payload) or (payload, ctx)"
    names = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise TypeError(f"{_shown(function)} has the parameter {str(parameter)!r}; {accepted}")
        names.append(parameter.name)
    match names:
        case ["self" | "cls", *_]:
            raise TypeError(f"{_shown(function)} is a method; {accepted}, so define it outside of a class")
        case ["ctx"] | ["context"]:
            raise TypeError(f"{_shown(function)} takes only {names[0]!r}; {accepted}, so put the payload before it")
        case []:
            return 0
        case [_]:
            return 1
        case [_, _]:
            return 2
        case _:
            raise TypeError(f"{_shown(function)} has {len(names)} parameters, {', '.join(names)}; {accepted}")


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a task function is a coroutine function.

    Raises:
        TypeError: It is a generator, whose values nobody would take.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{_shown(function)} is a generator; a task returns its output, so use return instead of yield")
    return inspect.iscoroutinefunction(function)


def place(function: Callable[..., Any]) -> Place:
    """Return where a function is defined.

    Raises:
        TypeError: It is no function written in Python.
    """
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        raise TypeError(f"{function!r} is not a function; expected `def` or `async def`")
    return Place(code.co_filename, code.co_firstlineno, inner.__module__, inner.__qualname__)


def relative(path: str) -> str:
    """Return a path relative to the working folder where it is below it, else as it is."""
    folder = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - pathlib would be half of what importing oncue costs
    return path.removeprefix(folder)


def payload(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - any type form
    """Return the annotation of a task's payload, Any where there is none; errors as for ``output``."""
    return _resolved(function, next(iter(inspect.signature(function).parameters)))


def output(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - any type form
    """Return the annotation of what a task returns, Any where there is none.

    Raises:
        TypeError: It names something that does not exist at run time.
    """
    return _resolved(function, "return")


def _resolved(function: Callable[..., Any], name: str) -> Any:  # noqa: ANN401 - any type form
    inner = inspect.unwrap(function)
    annotation = getattr(inner, "__annotations__", {}).get(name, Any)
    closed_over = inspect.getclosurevars(inner).nonlocals if getattr(inner, "__closure__", None) else {}
    try:
        hints = get_type_hints(
            SimpleNamespace(__annotations__={name: annotation}),
            globalns=getattr(inner, "__globals__", {}),
            localns=dict(closed_over),
            include_extras=True,
        )
    except NameError as error:
        raise TypeError(
            f"{_shown(function)}: the annotation {annotation!r} of {name!r} cannot be resolved ({error}); "
            "it is read when the task runs, so import the type outside of `if TYPE_CHECKING:`, in the module itself"
        ) from None
    return hints[name]


def _shown(function: Callable[..., Any]) -> str:
    return f"{function.__qualname__}()" if hasattr(function, "__qualname__") else repr(function)
