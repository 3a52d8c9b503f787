"""Task, blocking: ``my_task.sync``, the methods that trigger without ``await``.

For Flask, Django, scripts and tasks that are plain functions. Same names, arguments and results as on the task itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from oncue.sdk.missing import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

    from oncue.sdk.handles import BatchHandle, RunHandle
    from oncue.sdk.items import Item, ItemDict
    from oncue.sdk.options import TriggerOptions
    from oncue.sdk.results import BatchResult, Result
    from oncue.sdk.task import Task

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class BlockingCalls(Generic[P_contra, R_co]):
    """The blocking side of a task; see ``Task`` for arguments and errors."""

    __slots__ = ("_task",)

    def __init__(self, task: Task[P_contra, R_co]) -> None:
        self._task = task

    @overload
    def trigger(self: BlockingCalls[None, R], **options: Unpack[TriggerOptions]) -> RunHandle[R]: ...
    @overload
    def trigger(self, payload: P_contra, **options: Unpack[TriggerOptions]) -> RunHandle[R_co]: ...
    def trigger(self, payload: Any = MISSING, **options: Unpack[TriggerOptions]) -> RunHandle[Any]:
        """Trigger a run: ``handle = child.sync.trigger(payload)``."""
        from oncue.sdk import transport, triggering

        return transport.run(triggering.trigger(self._task.target, payload, options))

    @overload
    def trigger_and_wait(self: BlockingCalls[None, R], **options: Unpack[TriggerOptions]) -> Result[R]: ...
    @overload
    def trigger_and_wait(self, payload: P_contra, **options: Unpack[TriggerOptions]) -> Result[R_co]: ...
    def trigger_and_wait(self, payload: Any = MISSING, **options: Unpack[TriggerOptions]) -> Result[Any]:
        """Trigger a run and wait, inside a plain function's task: ``child.sync.trigger_and_wait(payload).unwrap()``."""
        from oncue.sdk import transport, triggering

        return transport.run(triggering.trigger_and_wait(self._task.target, payload, options, blocking=True))

    def batch_trigger(
        self, items: Iterable[Item[P_contra, Any] | ItemDict], **options: Unpack[TriggerOptions]
    ) -> BatchHandle[Sequence[RunHandle[R_co]]]:
        """Trigger many runs: ``handle = child.sync.batch_trigger([item(1), item(2)])``."""
        from oncue.sdk import batching

        return batching.run(items, self._task.target, options)

    def batch_trigger_and_wait(
        self, items: Iterable[Item[P_contra, Any] | ItemDict], **options: Unpack[TriggerOptions]
    ) -> BatchResult[tuple[Result[R_co], ...]]:
        """Trigger many runs and wait: ``child.sync.batch_trigger_and_wait([item(1), item(2)])``."""
        from oncue.sdk import batching

        return batching.run_and_wait("batch_trigger_and_wait", items, self._task.target, options)

    @overload
    def item(self: BlockingCalls[None, R], **options: Unpack[TriggerOptions]) -> Item[None, R]: ...
    @overload
    def item(self, payload: P_contra, **options: Unpack[TriggerOptions]) -> Item[P_contra, R_co]: ...
    def item(self, payload: Any = MISSING, **options: Unpack[TriggerOptions]) -> Item[Any, Any]:
        """Make an item of a batch; the same as ``child.item(payload)``."""
        return self._task.item(payload, **options)
