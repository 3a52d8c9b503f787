"""Waiting: what ``trigger_and_wait`` returns before it is awaited.

It stands for a coroutine: ``await`` it for the result, or ``await`` its ``unwrap()`` for the output alone. It holds a
real coroutine from the start, so that Python reports one that is never awaited, and so that ``asyncio.gather``,
``TaskGroup`` and ``wait_for`` take it.
"""

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

from oncue.sdk.results import Result

R = TypeVar("R")


class RunWaiting(Coroutine[Any, Any, Result[R]]):
    """A wait for a run, not begun yet.

    Example::

        result = await child.trigger_and_wait(payload)
        output = await child.trigger_and_wait(payload).unwrap()
    """

    __slots__ = ("__weakref__", "_inner")

    def __init__(self, inner: Coroutine[Any, Any, Result[R]]) -> None:
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Result[R]]:
        return self._inner.__await__()

    async def unwrap(self) -> R:
        """Wait, and return the output.

        Raises:
            SubtaskUnwrapError: The run did not end well; holds its id, its task and its error.
        """
        result = await self._inner
        return result.unwrap()

    def send(self, value: Any, /) -> Any:  # noqa: ANN401 - the coroutine protocol
        """Go on, as a coroutine does."""
        return self._inner.send(value)

    def throw(
        self,
        type_: type[BaseException] | BaseException,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any:  # noqa: ANN401 - the coroutine protocol
        """Raise inside, as a coroutine does."""
        if traceback is None and value is None:
            return self._inner.throw(type_)
        return self._inner.throw(type_, value, traceback)  # type: ignore[arg-type] # the older form, passed through

    def close(self) -> None:
        """Give up, as a coroutine does."""
        self._inner.close()
