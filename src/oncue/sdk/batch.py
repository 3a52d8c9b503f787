"""Batch: trigger several tasks at once, and ask about batches.

``trigger`` takes items that name a task by its id; ``trigger_by_task`` takes items of tasks that are at hand, and types
what comes back by position where the items are a tuple of up to five.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Coroutine, Iterable, Sequence
    from typing import Unpack

    from oncue.protocol.triggers import BatchView
    from oncue.sdk.filling import AnyBatchHandle, AnyBatchResult
    from oncue.sdk.handles import BatchHandle, RunHandle
    from oncue.sdk.items import AnyItem, Item, ItemDict, Items
    from oncue.sdk.options import TriggerOptions
    from oncue.sdk.results import BatchResult, Result

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


def trigger(items: Items, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, AnyBatchHandle]:
    """Trigger several tasks in one batch.

    Args:
        items: Each saying its task; a list of 1 to 1,000, or an iterator or async iterable of any length.
        options: Defaults for the items; ``idempotency_key`` is the batch's own.

    Raises:
        BatchTriggerError: There are too many items, or the batch could not be created or filled.
        TypeError: An item is none, or names no task.

    Example::

        handle = await batch.trigger([item("resize", image), item("notify", user, delay="1m")])
    """
    from oncue.sdk import batching

    return batching.start("batch.trigger", items, None, options)


def trigger_and_wait(items: Items, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, AnyBatchResult]:
    """Trigger several tasks and wait for the end of all, inside a task.

    Raises:
        OutsideTaskError: No run is executing here.

    Example::

        results = await batch.trigger_and_wait([item("child-1", a), item("child-2", b)])
    """
    from oncue.sdk import batching

    return batching.start_and_wait("batch.trigger_and_wait", items, None, options)


@overload
def trigger_by_task(
    items: tuple[Item[object, A]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchHandle[tuple[RunHandle[A]]]]: ...
@overload
def trigger_by_task(
    items: tuple[Item[object, A], Item[object, B]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchHandle[tuple[RunHandle[A], RunHandle[B]]]]: ...
@overload
def trigger_by_task(
    items: tuple[Item[object, A], Item[object, B], Item[object, C]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchHandle[tuple[RunHandle[A], RunHandle[B], RunHandle[C]]]]: ...
@overload
def trigger_by_task(
    items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchHandle[tuple[RunHandle[A], RunHandle[B], RunHandle[C], RunHandle[D]]]]: ...
@overload
def trigger_by_task(
    items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D], Item[object, E]],
    **options: Unpack[TriggerOptions],
) -> Coroutine[Any, Any, BatchHandle[tuple[RunHandle[A], RunHandle[B], RunHandle[C], RunHandle[D], RunHandle[E]]]]: ...
@overload
def trigger_by_task(
    items: Iterable[Item[object, A] | ItemDict] | AsyncIterable[Item[object, A] | ItemDict],
    **options: Unpack[TriggerOptions],
) -> Coroutine[Any, Any, BatchHandle[Sequence[RunHandle[A]]]]: ...
def trigger_by_task(items: Any, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, BatchHandle[Any]]:
    """Trigger tasks that are at hand, in one batch.

    Args:
        items: Of ``my_task.item(payload)``; a tuple keeps the type of each position.
        options: Defaults for the items; ``idempotency_key`` is the batch's own.

    Example::

        handle = await batch.trigger_by_task((resize.item(image), notify.item(user)))
        resized = await handle.runs[0].result()
    """
    from oncue.sdk import batching

    return batching.start("batch.trigger_by_task", items, None, options, by_task=True)


@overload
def trigger_by_task_and_wait(
    items: tuple[Item[object, A]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchResult[tuple[Result[A]]]]: ...
@overload
def trigger_by_task_and_wait(
    items: tuple[Item[object, A], Item[object, B]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchResult[tuple[Result[A], Result[B]]]]: ...
@overload
def trigger_by_task_and_wait(
    items: tuple[Item[object, A], Item[object, B], Item[object, C]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchResult[tuple[Result[A], Result[B], Result[C]]]]: ...
@overload
def trigger_by_task_and_wait(
    items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D]], **options: Unpack[TriggerOptions]
) -> Coroutine[Any, Any, BatchResult[tuple[Result[A], Result[B], Result[C], Result[D]]]]: ...
@overload
def trigger_by_task_and_wait(
    items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D], Item[object, E]],
    **options: Unpack[TriggerOptions],
) -> Coroutine[Any, Any, BatchResult[tuple[Result[A], Result[B], Result[C], Result[D], Result[E]]]]: ...
@overload
def trigger_by_task_and_wait(
    items: Iterable[Item[object, A] | ItemDict] | AsyncIterable[Item[object, A] | ItemDict],
    **options: Unpack[TriggerOptions],
) -> Coroutine[Any, Any, BatchResult[tuple[Result[A], ...]]]: ...
def trigger_by_task_and_wait(items: Any, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, BatchResult[Any]]:
    """Trigger tasks that are at hand and wait for the end of all, inside a task.

    Example::

        results = await batch.trigger_by_task_and_wait((child_1.item(a), child_2.item(b)))
        run_1, run_2 = results.runs
    """
    from oncue.sdk import batching

    return batching.start_and_wait("batch.trigger_by_task_and_wait", items, None, options, by_task=True)


def retrieve(batch: str | BatchHandle[Any]) -> Coroutine[Any, Any, BatchView]:
    """Ask where a batch stands.

    Raises:
        NotFound: There is no such batch in this environment.

    Example::

        view = await batch.retrieve(handle)
    """
    from oncue.sdk import polling, transport

    return transport.start(polling.retrieve_batch(_id(batch)), "batch.retrieve")


class BlockingBatch:
    """``batch.sync``: the same functions, blocking the thread."""

    def trigger(self, items: Iterable[AnyItem], **options: Unpack[TriggerOptions]) -> AnyBatchHandle:
        """Trigger several tasks: ``batch.sync.trigger([item("resize", image)])``."""
        from oncue.sdk import batching

        return batching.run(items, None, options)

    def trigger_and_wait(self, items: Iterable[AnyItem], **options: Unpack[TriggerOptions]) -> AnyBatchResult:
        """Trigger several tasks and wait: ``batch.sync.trigger_and_wait([item("resize", image)])``."""
        from oncue.sdk import batching

        return batching.run_and_wait("trigger_and_wait", items, None, options)

    @overload
    def trigger_by_task(
        self, items: tuple[Item[object, A]], **options: Unpack[TriggerOptions]
    ) -> BatchHandle[tuple[RunHandle[A]]]: ...
    @overload
    def trigger_by_task(
        self, items: tuple[Item[object, A], Item[object, B]], **options: Unpack[TriggerOptions]
    ) -> BatchHandle[tuple[RunHandle[A], RunHandle[B]]]: ...
    @overload
    def trigger_by_task(
        self, items: tuple[Item[object, A], Item[object, B], Item[object, C]], **options: Unpack[TriggerOptions]
    ) -> BatchHandle[tuple[RunHandle[A], RunHandle[B], RunHandle[C]]]: ...
    @overload
    def trigger_by_task(
        self,
        items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D]],
        **options: Unpack[TriggerOptions],
    ) -> BatchHandle[tuple[RunHandle[A], RunHandle[B], RunHandle[C], RunHandle[D]]]: ...
    @overload
    def trigger_by_task(
        self,
        items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D], Item[object, E]],
        **options: Unpack[TriggerOptions],
    ) -> BatchHandle[tuple[RunHandle[A], RunHandle[B], RunHandle[C], RunHandle[D], RunHandle[E]]]: ...
    @overload
    def trigger_by_task(
        self, items: Iterable[Item[object, A] | ItemDict], **options: Unpack[TriggerOptions]
    ) -> BatchHandle[Sequence[RunHandle[A]]]: ...
    def trigger_by_task(self, items: Any, **options: Unpack[TriggerOptions]) -> BatchHandle[Any]:
        """Trigger tasks at hand: ``batch.sync.trigger_by_task((resize.item(image), notify.item(user)))``."""
        from oncue.sdk import batching

        return batching.run(items, None, options, by_task=True)

    @overload
    def trigger_by_task_and_wait(
        self, items: tuple[Item[object, A]], **options: Unpack[TriggerOptions]
    ) -> BatchResult[tuple[Result[A]]]: ...
    @overload
    def trigger_by_task_and_wait(
        self, items: tuple[Item[object, A], Item[object, B]], **options: Unpack[TriggerOptions]
    ) -> BatchResult[tuple[Result[A], Result[B]]]: ...
    @overload
    def trigger_by_task_and_wait(
        self, items: tuple[Item[object, A], Item[object, B], Item[object, C]], **options: Unpack[TriggerOptions]
    ) -> BatchResult[tuple[Result[A], Result[B], Result[C]]]: ...
    @overload
    def trigger_by_task_and_wait(
        self,
        items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D]],
        **options: Unpack[TriggerOptions],
    ) -> BatchResult[tuple[Result[A], Result[B], Result[C], Result[D]]]: ...
    @overload
    def trigger_by_task_and_wait(
        self,
        items: tuple[Item[object, A], Item[object, B], Item[object, C], Item[object, D], Item[object, E]],
        **options: Unpack[TriggerOptions],
    ) -> BatchResult[tuple[Result[A], Result[B], Result[C], Result[D], Result[E]]]: ...
    @overload
    def trigger_by_task_and_wait(
        self, items: Iterable[Item[object, A] | ItemDict], **options: Unpack[TriggerOptions]
    ) -> BatchResult[tuple[Result[A], ...]]: ...
    def trigger_by_task_and_wait(self, items: Any, **options: Unpack[TriggerOptions]) -> BatchResult[Any]:
        """Trigger tasks at hand and wait: ``batch.sync.trigger_by_task_and_wait((child.item(a),))``."""
        from oncue.sdk import batching

        return batching.run_and_wait("trigger_by_task_and_wait", items, None, options, by_task=True)

    def retrieve(self, batch: str | BatchHandle[Any]) -> BatchView:
        """Ask where a batch stands: ``batch.sync.retrieve(handle)``."""
        from oncue.sdk import polling, transport

        return transport.run(polling.retrieve_batch(_id(batch)))


def _id(batch: object) -> str:
    batch_id = getattr(batch, "id", batch)
    if not isinstance(batch_id, str) or not batch_id:
        raise TypeError(f"{batch!r} is not a batch; expected a batch's id or its handle")
    return batch_id


sync: Final = BlockingBatch()
