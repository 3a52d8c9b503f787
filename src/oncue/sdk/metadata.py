"""Metadata: what a run says of itself while it runs, and reads of itself.

Works inside a task, from every function that it calls. A change is seen at once by ``get`` and ``current``, is told to
the server in the background within a second, and is stored before the run's end is: nothing has to be awaited. A key
that starts with ``$.`` is a path: ``$.user.name``, ``$.logs[0]``.

Example::

    metadata.set("stage", "rendering")
    metadata.increment("$.pages.done")
    metadata.parent.append("log", f"page {number} is done")

Life of a run, this module's part::

    user code -> metadata.set -> sdk/metadata_buffer -> worker/metadata_flushing -> engine/run_metadata
"""

import math
from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping
from typing import Any, Final

import msgspec

from oncue.protocol import codec
from oncue.protocol.errors import OncueError, OutsideTaskError
from oncue.protocol.metadata import (
    AppendValue,
    DeleteKey,
    IncrementNumber,
    Operation,
    RemoveValue,
    ReplaceDocument,
    SetKey,
)
from oncue.sdk import execution, streams
from oncue.sdk.execution import Execution
from oncue.sdk.metadata_buffer import Target


class Changes:
    """Changes of the metadata of one run of the family.

    Each raises ``OutsideTaskError`` where no run is executing, ``ValueError`` where it makes no sense, and
    ``PayloadTooLarge`` where the metadata would exceed its limit.
    """

    def __init__(self, target: Target, name: str) -> None:
        """Name the run.

        Args:
            target: Whose metadata is changed.
            name: How messages call this object.
        """
        self._target: Target = target
        self._name = name

    def set(self, key: str, value: object) -> None:
        """Put a value: ``metadata.set("progress", 0.5)``."""
        self._change("set", SetKey(_key(key), _document(value)))

    def delete(self, key: str) -> None:
        """Take a key out: ``metadata.delete("draft")``."""
        self._change("delete", DeleteKey(_key(key)))

    def append(self, key: str, value: object) -> None:
        """Add to the end of a list, which is made where there is none: ``metadata.append("log", "started")``."""
        self._change("append", AppendValue(_key(key), _document(value)))

    def remove(self, key: str, value: object) -> None:
        """Take every element that equals the value out of a list: ``metadata.remove("open", ticket)``."""
        self._change("remove", RemoveValue(_key(key), _document(value)))

    def increment(self, key: str, amount: float = 1) -> None:
        """Add to a number; what is none counts as 0: ``metadata.increment("rows", 20)``."""
        self._change("increment", IncrementNumber(_key(key), _amount(amount)))

    def decrement(self, key: str, amount: float = 1) -> None:
        """Take from a number; what is none counts as 0: ``metadata.decrement("left")``."""
        self._change("decrement", IncrementNumber(_key(key), -_amount(amount)))

    def update(self, values: Mapping[str, object]) -> None:
        """Put several values, as ``dict.update`` does: ``metadata.update({"stage": "done", "progress": 1})``."""
        for operation in [SetKey(_key(key), _document(value)) for key, value in values.items()]:
            self._change("update", operation)

    def replace(self, values: Mapping[str, object]) -> None:
        """Put an object in place of everything there is: ``metadata.replace({})``."""
        if not isinstance(values, Mapping):
            raise ValueError(f"values is {type(values).__name__}; expected a dict")  # noqa: TRY004 - as options do
        self._change("replace", ReplaceDocument(_document(dict(values))))

    def stream(self, key: str, values: Iterable[Any] | AsyncIterable[Any]) -> Coroutine[Any, Any, int]:
        """Send what an iterable yields as a stream of the run: ``await metadata.stream("words", words())``.

        The same stream as that of ``streams.pipe``, which says what it returns and raises.
        """
        return streams.pipe(key, values, target="self" if self._target == "own" else self._target)

    def _change(self, function: str, operation: Operation) -> None:
        _running(f"{self._name}.{function}").metadata.add(self._target, operation)


def get(key: str, default: object = None) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value of this run's metadata; the default where there is none.

    What other runs have changed since is seen after ``flush`` or ``refresh``.

    Raises:
        OutsideTaskError: No run is executing here.

    Example::

        user = metadata.get("$.user.name", "nobody")
    """
    return _running("metadata.get").metadata.get(_key(key), default)


def current() -> dict[str, Any]:
    """Return this run's metadata, a copy.

    Raises:
        OutsideTaskError: No run is executing here.

    Example::

        await child.trigger(payload, metadata=metadata.current())
    """
    return _running("metadata.current").metadata.current()


def flush() -> Coroutine[Any, Any, None]:
    """Wait until every change made so far is stored.

    Not needed for them to be: they are within a second, and before the run's end is.

    Raises:
        ApiError: The server refused a change, which is dropped, or could not be reached; then it is tried again later.
        RunLost: This execution no longer counts.
        OutsideTaskError: No run is executing here.

    Example::

        metadata.set("stage", "waiting")
        await metadata.flush()
    """
    return _flush("metadata.flush", blocking=False, refresh=False)


def refresh() -> Coroutine[Any, Any, None]:
    """Flush, and read what other runs have changed: children that used ``metadata.parent``.

    Raises:
        ApiError: As with ``flush``.
        RunLost: This execution no longer counts.
        OutsideTaskError: No run is executing here.

    Example::

        await metadata.refresh()
        done = metadata.get("pages_done", 0)
    """
    return _flush("metadata.refresh", blocking=False, refresh=True)


class BlockingChanges:
    """``metadata.sync.parent`` and ``metadata.sync.root``: what waits, blocking the thread of a plain function."""

    def __init__(self, target: streams.Target) -> None:
        """Name the run whose streams are written to."""
        self._target: streams.Target = target

    def stream(self, key: str, values: Iterable[Any]) -> int:
        """Send what an iterable yields as a stream of the run: ``metadata.sync.root.stream("rows", rows())``."""
        return streams.sync.pipe(key, values, target=self._target)


class BlockingMetadata(BlockingChanges):
    """``metadata.sync``: the functions that wait, blocking the thread of a plain function."""

    parent: Final = BlockingChanges("parent")
    root: Final = BlockingChanges("root")

    def __init__(self) -> None:
        """Write to the run itself."""
        super().__init__("self")

    def flush(self) -> None:
        """Wait until every change made so far is stored: ``metadata.sync.flush()``."""
        _running("metadata.sync.flush").block_on(_flush("metadata.flush", blocking=True, refresh=False))

    def refresh(self) -> None:
        """Flush, and read what other runs have changed: ``metadata.sync.refresh()``."""
        _running("metadata.sync.refresh").block_on(_flush("metadata.refresh", blocking=True, refresh=True))


def _flush(function: str, *, blocking: bool, refresh: bool) -> Coroutine[Any, Any, None]:
    running = _running(function)
    if blocking and not running.blocks_thread:
        raise OncueError(
            f"{function.replace('.', '.sync.')}() would block the event loop of task {running.context.task.id!r}, "
            f"which is an async function; write `await {function}()`"
        )
    flushing: Any = running.flush_metadata(refresh=refresh)
    # For Python's warning about one that is never awaited.
    flushing.__qualname__ = function
    coroutine: Coroutine[Any, Any, None] = flushing
    return coroutine


def _running(function: str) -> Execution:
    running = execution.current.get()
    if running is None:
        raise OutsideTaskError(
            f"{function}() belongs to the run that calls it, and no run is executing here; from outside, give "
            "metadata= when you trigger, and read it with `(await runs.retrieve(run)).metadata`"
        )
    return running


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"key={key!r} is not accepted; expected a text")  # noqa: TRY004 - as options do
    return key


def _amount(amount: object) -> float:
    # Libraries have kinds of their own, which the wire does not know.
    match amount:
        case int() if not isinstance(amount, bool):
            return int(amount)
        case float() if math.isfinite(amount):
            return float(amount)
        case _:
            raise ValueError(f"amount={amount!r} is not accepted; expected a finite number")


def _document(value: object) -> msgspec.Raw:
    try:
        return msgspec.Raw(codec.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"a value of type {type(value).__name__} cannot be written as JSON: {error}") from None


_own: Final = Changes("own", "metadata")
parent: Final = Changes("parent", "metadata.parent")
"""The same for the run that triggered this one; for this one where there is none."""
root: Final = Changes("root", "metadata.root")
"""The same for the first run of the family; for this one where it is the first."""

set = _own.set  # noqa: A001 - the public name, metadata.set
delete = _own.delete
append = _own.append
remove = _own.remove
increment = _own.increment
decrement = _own.decrement
update = _own.update
replace = _own.replace
stream = _own.stream
sync: Final = BlockingMetadata()
