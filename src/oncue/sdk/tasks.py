"""Tasks: trigger by a task's id, without importing its code.

From a backend, mostly. Where the task is at hand, its own methods (``task.py``) check the payload and type the output.

Life of a run, this module's part::

    tasks.trigger("email-sequence", payload) -> triggering.trigger -> request
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from oncue.sdk.missing import MISSING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import Unpack

    from oncue.sdk.filling import AnyBatchHandle, AnyBatchResult
    from oncue.sdk.handles import RunHandle
    from oncue.sdk.items import AnyItem, Items
    from oncue.sdk.options import TriggerOptions
    from oncue.sdk.results import AnyResult
    from oncue.sdk.waiting import RunWaiting


def trigger(
    task_id: str, payload: object = MISSING, **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, RunHandle[Any]]:
    """Trigger a run and return its handle.

    Args:
        task_id: The task's id. The task need not be known here, nor any worker be there yet.
        payload: Anything with a JSON form; left out, the task gets none.
        options: See ``TriggerOptions``.

    Raises:
        PayloadValidationError: The payload has no JSON form.
        TypeError: There is no such option.
        ValueError: An option's value makes no sense.
        ApiError: The server refused, or could not be reached.

    Example::

        handle = await tasks.trigger("email-sequence", {"to": "a@b.c"}, delay="1h")
    """
    from oncue.sdk import transport, triggering

    return transport.start(triggering.trigger(triggering.target(task_id), payload, options), "tasks.trigger")


def batch_trigger(task_id: str, items: Items, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, AnyBatchHandle]:
    """Trigger many runs of one task at once.

    Args:
        task_id: The task's id.
        items: A list of 1 to 1,000, or an iterator or async iterable of any length, sent as it comes.
        options: Defaults for the items; ``idempotency_key`` is the batch's own.

    Raises:
        BatchTriggerError: There are too many items, or the batch could not be created or filled.

    Example::

        handle = await tasks.batch_trigger("email-sequence", [item({"to": a}) for a in addresses])
    """
    from oncue.sdk import batching

    return batching.start("tasks.batch_trigger", items, batching.of(task_id), options)


def trigger_and_wait(task_id: str, payload: object = MISSING, **options: Unpack[TriggerOptions]) -> RunWaiting[Any]:
    """Trigger a run and wait for its end, inside a task; the waiting run holds no slot.

    Raises:
        OutsideTaskError: No run is executing here.

    Example::

        output = await tasks.trigger_and_wait("resize", {"image": url}).unwrap()
    """
    from oncue.sdk import transport, triggering
    from oncue.sdk.waiting import RunWaiting

    flow = triggering.trigger_and_wait(triggering.target(task_id), payload, options, blocking=False)
    return RunWaiting(transport.start(flow, "tasks.trigger_and_wait"))


def batch_trigger_and_wait(
    task_id: str, items: Items, **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, AnyBatchResult]:
    """Trigger many runs of one task and wait for the end of all, inside a task.

    Example::

        results = await tasks.batch_trigger_and_wait("resize", [item(a), item(b)])
    """
    from oncue.sdk import batching

    return batching.start_and_wait("tasks.batch_trigger_and_wait", items, batching.of(task_id), options)


class BlockingTasks:
    """``tasks.sync``: the same functions, blocking the thread."""

    def trigger(self, task_id: str, payload: object = MISSING, **options: Unpack[TriggerOptions]) -> RunHandle[Any]:
        """Trigger a run: ``handle = tasks.sync.trigger("email-sequence", payload)``."""
        from oncue.sdk import transport, triggering

        return transport.run(triggering.trigger(triggering.target(task_id), payload, options))

    def batch_trigger(
        self, task_id: str, items: Iterable[AnyItem], **options: Unpack[TriggerOptions]
    ) -> AnyBatchHandle:
        """Trigger many runs of one task: ``tasks.sync.batch_trigger("email-sequence", [item(a), item(b)])``."""
        from oncue.sdk import batching

        return batching.run(items, batching.of(task_id), options)

    def trigger_and_wait(self, task_id: str, payload: object = MISSING, **options: Unpack[TriggerOptions]) -> AnyResult:
        """Trigger a run and wait, inside a plain function's task: ``tasks.sync.trigger_and_wait("resize", a)``."""
        from oncue.sdk import transport, triggering

        return transport.run(triggering.trigger_and_wait(triggering.target(task_id), payload, options, blocking=True))

    def batch_trigger_and_wait(
        self, task_id: str, items: Iterable[AnyItem], **options: Unpack[TriggerOptions]
    ) -> AnyBatchResult:
        """Trigger many runs and wait: ``tasks.sync.batch_trigger_and_wait("resize", [item(a)])``."""
        from oncue.sdk import batching

        return batching.run_and_wait("batch_trigger_and_wait", items, batching.of(task_id), options)


sync: Final = BlockingTasks()
