"""Inside: what a call says of the run it is made from, and whether it may wait there.

Life of a run, this module's part::

    worker/executor sets execution.current -> user code -> child.trigger -> inside.lineage -> TriggerOptions
"""

from typing import Any

from oncue.protocol.errors import OncueError, OutsideTaskError
from oncue.sdk import execution
from oncue.sdk.context import Context
from oncue.sdk.execution import Execution


def current() -> Context:
    """Return the context of the run that the calling code belongs to.

    Raises:
        OutsideTaskError: No run is executing here.

    Example::

        log.info("in run %s", oncue.current().run.id)
    """
    running = execution.current.get()
    if running is None:
        raise OutsideTaskError(
            "there is no current run: this code was not called by a worker; inside a task that is called inline, "
            "take the context as the second parameter, (payload, ctx)"
        )
    return running.context


def lineage(kind: str, task: str, key: str | None = None) -> dict[str, Any]:
    """Return what a durable call says of the run it is made from; nothing where there is none.

    Args:
        kind: ``trigger``, ``wait``, ``batch`` or ``batch-wait``.
        task: The task's id, or ``*`` for a batch of several.
        key: The idempotency key of the call, as it is sent.
    """
    running = execution.current.get()
    if running is None:
        return {}
    return {
        "parent_run_id": running.context.run.id,
        "parent_epoch": running.epoch,
        "parent_worker_id": running.worker_id,
        "call_key": running.call_key(kind, task, key),
    }


def note_difference(task: str, run_id: str) -> None:
    """Tell the run that calls that it called with another payload before it was started again.

    Raises:
        CallDiffers: Its task is strict.
    """
    running = execution.current.get()
    if running is not None:
        running.note_difference(task, run_id)


def is_test() -> bool | None:
    """Return True where the calling code belongs to a test run, so that its children are test runs too."""
    running = execution.current.get()
    return True if running is not None and running.context.run.is_test else None


def parent(function: str, *, blocking: bool) -> Execution:
    """Return the run that is about to wait.

    Args:
        function: The called function, for messages, for instance ``trigger_and_wait``.
        blocking: Whether it was called through ``.sync``.

    Raises:
        OutsideTaskError: No run is executing here.
        OncueError: It is a coroutine's call in a plain function or the other way round, which could never end.
    """
    running = execution.current.get()
    if running is None:
        instead = function.removesuffix("_and_wait")
        raise OutsideTaskError(
            f"{function}() waits inside a run, and no run is executing here; call {instead}() and then "
            "`await handle.result()` (or `handle.sync.result()`), which works everywhere"
        )
    if blocking and not running.blocks_thread:
        raise OncueError(
            f"sync.{function}() would block the event loop of task {running.context.task.id!r}, which is an async "
            f"function; write `await ....{function}(...)` without .sync"
        )
    if not blocking and running.blocks_thread:
        raise OncueError(
            f"{function}() has to be awaited, and task {running.context.task.id!r} is a plain function; write "
            f"`....sync.{function}(...)`, or make the task `async def`"
        )
    return running
