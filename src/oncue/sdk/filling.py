"""Filling: from the items of a batch to its runs.

All items are checked and written before the first request; then the batch is created and its items are sent, again
where the server says that some are missing. The ids of the runs follow from the batch's, so they are known at once.

Life of a run, this module's part::

    task.batch_trigger | batch.trigger -> filling.trigger -> create batch, send items -> BatchHandle
"""

import contextlib
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BatchPhase, BatchTriggerError, PayloadValidationError
from oncue.protocol.triggers import BatchItem, CreateBatchRequest, IdempotencyKeyOptions, TriggerOptions
from oncue.protocol.work import ChildResult
from oncue.sdk import answers, flows, idempotency, items, option_values, packets, requests, settings, triggering
from oncue.sdk.execution import Execution
from oncue.sdk.flows import Flow, Park, Sleep
from oncue.sdk.handles import BatchHandle, RunHandle
from oncue.sdk.items import Item
from oncue.sdk.results import AnyResult, BatchResult
from oncue.sdk.triggering import Target

T = TypeVar("T")

AnyBatchHandle: TypeAlias = BatchHandle[Sequence[RunHandle[Any]]]
AnyBatchResult: TypeAlias = BatchResult[tuple[AnyResult, ...]]

SEVERAL: Final = "*"
"""Stands for the task in the call key of a batch that names a task in each item."""
_NAMED_TASKS: Final = 100
"""A creation names its tasks up to so many: with the longest ids they stay well below the limit of its body."""


class Batch(NamedTuple):
    """A batch, ready to be sent."""

    targets: list[Target]
    items: Sequence[BatchItem]
    idempotency_key: str | None


def collected(given: object) -> list[object]:
    """Return the items of a batch as a list.

    Raises:
        TypeError: They are no items.
        ValueError: There are none.
        BatchTriggerError: There are more than a batch may have.
    """
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise TypeError(f"items is {type(given).__name__}; expected a list, an iterable or an async iterable of items")
    return counted(list(given))


def trigger(
    given: Sequence[object],
    *,
    of: Target | None,
    options: Mapping[str, Any],
    lineage: Mapping[str, Any],
    by_task: bool = False,
) -> Flow[AnyBatchHandle]:
    """Make the runs of a batch and go on.

    Args:
        given: Items, 1 to 1,000.
        of: The task of every item, or None where each item says its own.
        options: Defaults for the items; ``idempotency_key`` is the batch's own.
        lineage: From ``inside.lineage``, taken when the function was called.
        by_task: Each item must have its task at hand.

    Raises:
        PayloadValidationError: An item's payload does not fit; names its position.
        TypeError: An item is none, or there is no such option; names its position.
        ValueError: An option's value makes no sense; names the item's position.
    """
    batch = prepared(given, of, options, by_task=by_task)
    return _trigger(batch, _creation(batch, lineage, waits=False))


def trigger_and_wait(
    given: Sequence[object],
    *,
    of: Target | None,
    options: Mapping[str, Any],
    lineage: Mapping[str, Any],
    parent: Execution,
    by_task: bool = False,
) -> Flow[AnyBatchResult]:
    """Make the runs of a batch and wait for the end of all, inside a run; errors as for ``trigger``.

    Raises:
        BatchTriggerError: The batch could not be filled.
    """
    batch = prepared(given, of, options, by_task=by_task)
    return _trigger_and_wait(batch, _creation(batch, lineage, waits=True), parent)


def counted(found: list[object]) -> list[object]:
    """Return items of which there are as many as a batch may have; errors as for ``collected``."""
    if not found:
        raise ValueError("items is empty; a batch has 1 item or more")
    limit = settings.max_batch_items()
    if len(found) > limit:
        raise BatchTriggerError(
            f"the batch has {len(found):,} items; the limit is {limit:,}, so trigger several batches, "
            "or give an iterator, which is sent as a stream",
            phase="create",
            item_count=len(found),
        )
    return found


def prepared(
    given: Sequence[object], of: Target | None, options: Mapping[str, Any], *, by_task: bool, first: int = 0
) -> Batch:
    """Check every item and write its payload; ``first`` is the index of the first of them."""
    shared = {name: value for name, value in options.items() if name != "idempotency_key"}
    key = option_values.read({"idempotency_key": options.get("idempotency_key")}).get("idempotency_key")
    own_key = None if key is None else idempotency.parts(options["idempotency_key"])
    defaults: dict[str, TriggerOptions] = {}
    targets: list[Target] = []
    written: list[BatchItem] = []
    for index, each in enumerate(given, first):
        item = items.read(each, index)
        target = _target(item, index, of, by_task=by_task)
        try:
            if item.options:
                wire = triggering.wire_options(target, {**shared, **item.options})
            elif (known := defaults.get(target.id)) is not None:
                wire = known
            else:
                wire = defaults[target.id] = triggering.wire_options(target, shared)
            if own_key is not None and wire.idempotency_key is None:
                derived = idempotency.create([*own_key, str(index)])
                shown = IdempotencyKeyOptions(derived.key, derived.scope)
                wire = msgspec.structs.replace(wire, idempotency_key=str(derived), idempotency_key_options=shown)
            payload = triggering.document(target, item.payload)
        except PayloadValidationError as error:
            raise PayloadValidationError(f"items[{index}]: {error}") from error
        except TypeError as error:
            raise TypeError(f"items[{index}]: {error}") from error
        except ValueError as error:
            raise ValueError(f"items[{index}]: {error}") from error
        targets.append(target)
        written.append(BatchItem(index, target.id, payload, wire))
    return Batch(targets, written, key)


def _target(item: Item[Any, Any], index: int, of: Target | None, *, by_task: bool) -> Target:
    if by_task and item.task is None:
        raise TypeError(
            f"items[{index}] has no task at hand; expected my_task.item(payload) or {{'task': my_task, ...}}"
        )
    if of is None:
        if item.task is not None:
            return Target(item.task.id, item.task)
        if item.task_id is None:
            raise TypeError(f"items[{index}] names no task; expected item('task-id', payload) or my_task.item(payload)")
        return triggering.target(item.task_id)
    if item.task_id not in (None, of.id):
        raise ValueError(
            f"items[{index}] is for task {item.task_id!r} in a batch of {of.id!r}; use batch.trigger for both"
        )
    return of


def _creation(batch: Batch, lineage: Mapping[str, Any], *, waits: bool) -> CreateBatchRequest:
    tasks = sorted({target.id for target in batch.targets})
    return CreateBatchRequest(
        len(batch.targets),
        id=ids.new_batch_id(),
        task_identifiers=tasks if len(tasks) <= _NAMED_TASKS else None,
        idempotency_key=batch.idempotency_key,
        resume_parent_on_completion=waits,
        **lineage,
    )


def _trigger(batch: Batch, creation: CreateBatchRequest) -> Flow[AnyBatchHandle]:
    batch_id, token = yield from _filled(batch, creation)
    return _handle(batch_id, token, batch.targets)


def _trigger_and_wait(batch: Batch, creation: CreateBatchRequest, parent: Execution) -> Flow[AnyBatchResult]:
    assert creation.id is not None
    try:
        batch_id, _ = yield from _filled(batch, creation)
    except BatchTriggerError as error:
        # A run that was started again may have filled the batch that it made before.
        batch_id = error.batch_id or creation.id
        if not (yield from arrived_after_all(batch_id, parent, error)):
            raise
    tasks = {target.id: target.task for target in batch.targets}
    # The batch holds all payloads, and the run may be parked for days.
    del batch, creation
    children: Sequence[ChildResult] = yield Park(parent, partial(parent.wait_for_batch, batch_id))
    opened = yield from packets.opened(children)
    del children
    return BatchResult(batch_id, tuple(triggering.settled(child, tasks.get(child.task)) for child in opened))


def _filled(batch: Batch, creation: CreateBatchRequest) -> Flow[tuple[str, str | None]]:
    """Create a batch and send its items; return its id and token."""
    count = len(batch.targets)
    batch = batch._replace(items=(yield from lightened(batch.items)))
    try:
        response, token = yield from flows.exchange(requests.create_batch(creation))
    except ApiError as error:
        at = yield from flows.now()
        raise failed("create", f"could not create a batch of {count:,} items", count, error, at) from error
    # A batch that is known by its key has been filled before.
    if not response.is_cached:
        yield from _send_items(response.id, batch)
    return response.id, token


def lightened(items: Sequence[BatchItem], batch_id: str | None = None) -> Flow[Sequence[BatchItem]]:
    """Store the large payloads of items, and return the items that name them.

    Raises:
        BatchTriggerError: One could not be stored.
    """
    try:
        return (yield from packets.all_lightened(items))
    except ApiError as error:
        at = yield from flows.now()
        count = len(items)
        message = f"could not store the large payloads of {count:,} items"
        raise failed("offload", message, count, error, at, batch_id=batch_id) from error


def lines(items: Sequence[BatchItem]) -> bytes:
    """Write items as they travel, one JSON object on each line."""
    return _encoder.encode_lines(items)


def _send_items(batch_id: str, batch: Batch) -> Flow[None]:
    count = len(batch.targets)
    call = requests.fill_batch(batch_id, lines(batch.items))
    attempt = 0
    while True:
        attempt += 1
        try:
            filled = yield from flows.exchange(call)
        except ApiError as error:
            at = yield from flows.now()
            message = f"could not send the {count:,} items of batch {batch_id}"
            raise failed("stream", message, count, error, at, batch_id=batch_id) from error
        if filled.sealed:
            return
        if attempt >= call.policy.attempts:
            raise BatchTriggerError(
                f"batch {batch_id} has {filled.enqueued_count} of its {filled.expected_count or count} items after "
                f"{attempt} attempts; trigger it again",
                phase="stream",
                item_count=count,
                batch_id=batch_id,
            )
        yield Sleep(call.policy.backoff_s(attempt, random.random()))  # noqa: S311 - spreads load


def arrived_after_all(batch_id: str, parent: Execution, error: BatchTriggerError) -> Flow[bool]:
    """Give up a batch whose run waits for it already; say whether its items had arrived and only the answer had not.

    The run gets its slots back through the wait that ends thereby. Where the server cannot be reached, it gives the
    batch up by itself at the deadline.
    """
    try:
        answer = yield from flows.exchange(requests.abort_batch(batch_id, str(error)))
    except ApiError:
        return False
    if not answer.sealed:
        with contextlib.suppress(BatchTriggerError):
            yield Park(parent, partial(parent.wait_for_batch, batch_id, stays=True))
    return answer.sealed


def failed(
    phase: BatchPhase, message: str, count: int, error: ApiError, at: float, *, batch_id: str | None = None
) -> BatchTriggerError:
    """Return what a caller gets whose batch could not be made."""
    return BatchTriggerError(
        f"{message}: {error}",
        phase=phase,
        item_count=count,
        batch_id=batch_id,
        retry_after_ms=answers.retry_after_ms(error, at),
        cause=error,
    )


def _handle(batch_id: str, token: str | None, targets: Sequence[Target]) -> AnyBatchHandle:
    value = ids.parse(ids.BATCH, batch_id)
    runs = tuple(
        RunHandle[Any](
            ids.show(ids.RUN, ids.item_run_id(value, index)),
            target.id,
            read_output=None if target.task is None else target.task.read_output,
        )
        for index, target in enumerate(targets)
    )
    return BatchHandle(batch_id, len(runs), runs, public_access_token=token)


_encoder: Final = msgspec.json.Encoder()
