"""Streaming: a batch whose items are sent as they come.

A list is counted and sent as an ordinary batch, and so is a stream that ends within its first chunk. Any other stream
makes one batch that is open: created when its first items are there, filled chunk after chunk, each taken when the one
before is stored, and sealed with their number at the end. The batch is given up where the stream raises.

Life of a run, this module's part::

    batching -> streaming.start -> Source -> create, fill, fill ..., seal -> BatchHandle
"""

import array
import contextlib
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from typing import Any, Final, TypeVar, overload

from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BatchTriggerError
from oncue.protocol.triggers import CreateBatchRequest
from oncue.protocol.work import ChildResult
from oncue.sdk import filling, flows, option_values, packets, requests, retrying, transport, triggering
from oncue.sdk.callee import Callee
from oncue.sdk.execution import Execution
from oncue.sdk.filling import AnyBatchResult
from oncue.sdk.flows import Flow, Park, Pull
from oncue.sdk.handles import BatchHandle, RunHandle
from oncue.sdk.results import BatchResult
from oncue.sdk.sources import Chunk, Source
from oncue.sdk.triggering import Target

T = TypeVar("T")


def start(
    name: str,
    given: object,
    make: Callable[[list[object]], Flow[T]],
    stream: Callable[[Source, Callable[[list[object]], Flow[T]]], Flow[T]],
) -> Coroutine[Any, Any, T]:
    """Return a coroutine that triggers a batch.

    Args:
        name: Of the function that the user called.
        given: The items; what has a length is read now, anything else when the coroutine runs.
        make: Makes the flow of a batch that is there as a whole.
        stream: Makes the flow of a stream.

    Raises:
        TypeError: They are no items.
        ValueError: There are none.
        BatchTriggerError: There are too many.
    """
    if isinstance(given, AsyncIterable):
        return transport.start(stream(Source(given), make), name)
    if isinstance(given, Iterable) and not isinstance(given, Sized):
        return transport.start(stream(Source(given), make), name)
    return transport.start(make(filling.collected(given)), name)


def run(
    given: object,
    make: Callable[[list[object]], Flow[T]],
    stream: Callable[[Source, Callable[[list[object]], Flow[T]]], Flow[T]],
) -> T:
    """Trigger a batch on this thread; arguments and errors as for ``start``."""
    if isinstance(given, AsyncIterable):
        raise TypeError(
            f"items is an async iterable ({type(given).__name__}); expected a list or an iterable with .sync"
        )
    if isinstance(given, Iterable) and not isinstance(given, Sized):
        return transport.run(stream(Source(given), make))
    return transport.run(make(filling.collected(given)))


def trigger(
    source: Source,
    make: Callable[[list[object]], Flow[BatchHandle[Any]]],
    *,
    of: Target | None,
    options: Mapping[str, Any],
    lineage: Mapping[str, Any],
    by_task: bool = False,
) -> Flow[BatchHandle[Any]]:
    """Make runs of the items of a stream as they come; errors as for ``filling.trigger``.

    Args:
        source: The stream.
        make: Makes the flow of a batch that is there as a whole: a stream that ends at once.
        of: The task of every item, or None where each item says its own.
        options: Defaults for the items; ``idempotency_key`` is the batch's own.
        lineage: From ``inside.lineage``.
        by_task: Each item must have its task at hand.
    """
    chunk: Chunk = yield Pull(source)
    if chunk.ended:
        return (yield from make(_whole(chunk)))
    made = StreamedRuns()
    prepare = partial(filling.prepared, of=of, options=options, by_task=by_task)
    try:
        response, token = yield from _created(options, lineage, waits=False)
        made.batch_id = response.id
        if response.is_cached:
            # It was sent before; what its items name is still to be known.
            yield from _poured(None, source, chunk, prepare, made)
        else:
            yield from _filled(response.id, source, chunk, prepare, made=made)
    finally:
        source.close()
    return BatchHandle(response.id, response.run_count or len(made), made, public_access_token=token)


def trigger_and_wait(
    source: Source,
    make: Callable[[list[object]], Flow[AnyBatchResult]],
    *,
    of: Target | None,
    options: Mapping[str, Any],
    lineage: Mapping[str, Any],
    parent: Execution,
    by_task: bool = False,
) -> Flow[AnyBatchResult]:
    """Make runs of the items of a stream as they come and wait for the end of all; see ``trigger``."""
    chunk: Chunk = yield Pull(source)
    if chunk.ended:
        return (yield from make(_whole(chunk)))
    made = StreamedRuns()
    prepare = partial(filling.prepared, of=of, options=options, by_task=by_task)
    try:
        response, _ = yield from _created(options, lineage, waits=True)
        if response.is_cached:
            yield from _poured(None, source, chunk, prepare, made)
        else:
            yield from _filled(response.id, source, chunk, prepare, made=made, parent=parent)
    finally:
        source.close()
    tasks = made.tasks
    del made, chunk, source, prepare
    children: Sequence[ChildResult] = yield Park(parent, partial(parent.wait_for_batch, response.id))
    opened = yield from packets.opened(children)
    del children
    return BatchResult(response.id, tuple(triggering.settled(child, tasks.get(child.task)) for child in opened))


class StreamedRuns(Sequence[RunHandle[Any]]):
    """The handles of a stream's runs, made when they are asked for: a million of them take some megabytes."""

    def __init__(self) -> None:
        self.batch_id = ""
        self.tasks: dict[str, Callee | None] = {}
        """What the items named, by id."""
        self._places: dict[str, int] = {}
        self._names: list[str] = []
        self._kinds = array.array("H")

    def add(self, targets: Iterable[Target]) -> None:
        """Take the tasks of the next items."""
        for target in targets:
            place = self._places.get(target.id)
            if place is None:
                place = self._places[target.id] = len(self._names)
                self._names.append(target.id)
                self.tasks[target.id] = target.task
            self._kinds.append(place)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._kinds)

    @overload
    def __getitem__(self, index: int) -> RunHandle[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RunHandle[Any], ...]: ...
    def __getitem__(self, index: int | slice) -> RunHandle[Any] | tuple[RunHandle[Any], ...]:
        """Return handles by position."""
        if isinstance(index, slice):
            return tuple(self._handle(each) for each in range(*index.indices(len(self))))
        return self._handle(range(len(self))[index])

    def __iter__(self) -> Iterator[RunHandle[Any]]:
        """Go through them in item order."""
        return map(self._handle, range(len(self)))

    def _handle(self, index: int) -> RunHandle[Any]:
        name = self._names[self._kinds[index]]
        task = self.tasks[name]
        run = ids.item_run_id(ids.parse(ids.BATCH, self.batch_id), index)
        return RunHandle(ids.show(ids.RUN, run), name, read_output=None if task is None else task.read_output)


def _whole(chunk: Chunk) -> list[object]:
    if chunk.error is not None:
        raise chunk.error
    return filling.counted(chunk.items)


def _created(options: Mapping[str, Any], lineage: Mapping[str, Any], *, waits: bool) -> Flow[tuple[Any, str | None]]:
    key = option_values.read({"idempotency_key": options.get("idempotency_key")}).get("idempotency_key")
    creation = CreateBatchRequest(
        0, id=ids.new_batch_id(), idempotency_key=key, resume_parent_on_completion=waits, open=True, **lineage
    )
    try:
        return (yield from flows.exchange(requests.create_batch(creation)))
    except ApiError as error:
        at = yield from flows.now()
        raise filling.failed("create", "could not create a batch for a stream", 0, error, at) from error


def _filled(
    batch_id: str,
    source: Source,
    chunk: Chunk,
    prepare: Callable[..., filling.Batch],
    *,
    made: StreamedRuns,
    parent: Execution | None = None,
) -> Flow[None]:
    """Send chunk after chunk, and seal the batch. Given up where that fails.

    A ``parent`` waits for the batch already, and gets its slots back through the wait that ends thereby.
    """
    try:
        yield from _poured(batch_id, source, chunk, prepare, made)
        yield from _sealed(batch_id, len(made))
    except Exception as error:
        sealed = yield from _given_up(batch_id, error)
        if parent is not None and not sealed:
            with contextlib.suppress(BatchTriggerError):
                yield Park(parent, partial(parent.wait_for_batch, batch_id, stays=True))
        raise


def _poured(
    batch_id: str | None, source: Source, chunk: Chunk, prepare: Callable[..., filling.Batch], made: StreamedRuns
) -> Flow[None]:
    """Take chunk after chunk, and send each to a batch, if there is one to be filled."""
    while True:
        if chunk.items:
            batch = prepare(chunk.items, first=len(made))
            if batch_id is not None:
                light = yield from filling.lightened(batch.items, batch_id)
                yield from _sent(batch_id, filling.lines(light), len(made) + len(chunk.items))
                del light
            made.add(batch.targets)
            del batch
        if chunk.error is not None:
            raise chunk.error
        if chunk.ended:
            return
        chunk = yield Pull(source)


def _sent(batch_id: str, lines: bytes, count: int) -> Flow[None]:
    try:
        yield from flows.exchange(requests.fill_batch(batch_id, lines, policy=retrying.OPEN_STREAMS))
    except ApiError as error:
        at = yield from flows.now()
        message = f"could not send the items up to {count:,} of batch {batch_id}"
        raise filling.failed("stream", message, count, error, at, batch_id=batch_id) from error


def _sealed(batch_id: str, count: int) -> Flow[None]:
    try:
        answer = yield from flows.exchange(requests.seal_batch(batch_id, count))
    except ApiError as error:
        at = yield from flows.now()
        message = f"could not seal batch {batch_id} of {count:,} items"
        raise filling.failed("stream", message, count, error, at, batch_id=batch_id) from error
    if not answer.sealed:
        raise BatchTriggerError(
            f"batch {batch_id} has {answer.enqueued_count or 0:,} items where {count:,} were sent; a run that was "
            "started again must give the same items",
            phase="stream",
            item_count=count,
            batch_id=batch_id,
        )


def _given_up(batch_id: str, error: Exception) -> Flow[bool]:
    """Give a batch up, and return whether it goes on: sealed, or out of reach, where the deadline will end it."""
    reason = f"its stream of items failed: {error}"[:_REASON_CHARS]
    try:
        answer = yield from flows.exchange(requests.abort_batch(batch_id, reason))
    except ApiError:
        return True
    return answer.sealed


_REASON_CHARS: Final = 500
