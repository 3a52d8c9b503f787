"""Batching: the four ways in which a batch is called, for every function that takes one.

Waiting or not, awaited or blocking. What the current run says of itself is taken here, when the function is called and
not when it is awaited, so that calls keep their order under ``asyncio.gather``.

Life of a run, this module's part::

    tasks | task | batch -> batching -> filling -> transport
"""

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final

from oncue.sdk import filling, idempotency, inside, streaming, triggering
from oncue.sdk.filling import AnyBatchHandle, AnyBatchResult
from oncue.sdk.triggering import Target

of: Final = triggering.target


def start(
    name: str, items: object, to: Target | None, options: Mapping[str, Any], *, by_task: bool = False
) -> Coroutine[Any, Any, AnyBatchHandle]:
    """Return the coroutine of a batch that is not waited for.

    Args:
        name: Of the function that the user called.
        items: As given.
        to: The task of every item, or None where each item says its own.
        options: Defaults for the items.
        by_task: Each item must have its task at hand.
    """
    lineage = _lineage("batch", to, options)
    how: Any = {"of": to, "options": options, "lineage": lineage, "by_task": by_task}
    return streaming.start(name, items, partial(filling.trigger, **how), partial(streaming.trigger, **how))


def run(items: object, to: Target | None, options: Mapping[str, Any], *, by_task: bool = False) -> AnyBatchHandle:
    """Trigger a batch on this thread; arguments as for ``start``."""
    lineage = _lineage("batch", to, options)
    how: Any = {"of": to, "options": options, "lineage": lineage, "by_task": by_task}
    return streaming.run(items, partial(filling.trigger, **how), partial(streaming.trigger, **how))


def start_and_wait(
    name: str, items: object, to: Target | None, options: Mapping[str, Any], *, by_task: bool = False
) -> Coroutine[Any, Any, AnyBatchResult]:
    """Return the coroutine of a batch that is waited for; arguments as for ``start``.

    Raises:
        OutsideTaskError: No run is executing here.
    """
    parent = inside.parent(name.rpartition(".")[2], blocking=False)
    lineage = _lineage("batch-wait", to, options)
    how: Any = {"of": to, "options": options, "lineage": lineage, "parent": parent, "by_task": by_task}
    return streaming.start(
        name, items, partial(filling.trigger_and_wait, **how), partial(streaming.trigger_and_wait, **how)
    )


def run_and_wait(
    name: str, items: object, to: Target | None, options: Mapping[str, Any], *, by_task: bool = False
) -> AnyBatchResult:
    """Trigger a batch and wait for it on this thread; arguments and errors as for ``start_and_wait``."""
    parent = inside.parent(name, blocking=True)
    lineage = _lineage("batch-wait", to, options)
    how: Any = {"of": to, "options": options, "lineage": lineage, "parent": parent, "by_task": by_task}
    return streaming.run(items, partial(filling.trigger_and_wait, **how), partial(streaming.trigger_and_wait, **how))


def _lineage(kind: str, to: Target | None, options: Mapping[str, Any]) -> dict[str, Any]:
    key = options.get("idempotency_key")
    return inside.lineage(
        kind, filling.SEVERAL if to is None else to.id, None if key is None else idempotency.sent(key)
    )
