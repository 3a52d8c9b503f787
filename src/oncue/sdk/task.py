"""Task: a function that can be triggered.

Made by the decorator in ``definition.py``, and still callable as the ordinary function it was. What a trigger does is
in ``triggering.py`` and ``filling.py``; how a run executes the function is the worker's.

Life of a run, this module's part::

    @task -> registry
    my_task.trigger(payload) -> triggering
    worker/executor -> my_task.arguments -> function
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from oncue.sdk import signature
from oncue.sdk.missing import MISSING
from oncue.sdk.task_blocking import BlockingCalls

if TYPE_CHECKING:
    import datetime
    from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
    from typing import Unpack

    import msgspec

    from oncue.protocol.retry import RetryPolicy
    from oncue.sdk.context import Context
    from oncue.sdk.handles import BatchHandle, RunHandle
    from oncue.sdk.hooks import Hooks
    from oncue.sdk.items import Item, ItemDict
    from oncue.sdk.options import TriggerOptions
    from oncue.sdk.queue import Queue
    from oncue.sdk.results import BatchResult, Result
    from oncue.sdk.schema import Shape
    from oncue.sdk.triggering import Target
    from oncue.sdk.waiting import RunWaiting

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Task(Generic[P_contra, R_co]):
    """A task: P is the type of its payload, None where it takes none; R is the type of its output.

    Made by ``@task``; see there. The methods that trigger are coroutine functions, and ``.sync`` has the same ones,
    blocking. Options of every trigger are in ``TriggerOptions``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        id: str,  # noqa: A002 - as users write it
        queue: Queue | None = None,
        retry: RetryPolicy | None = None,
        machine: str | None = None,
        isolate: bool = False,
        max_duration: datetime.timedelta | None = None,
        ttl: datetime.timedelta | None = None,
        strict: bool = False,
        evict: bool = True,
        hooks: Hooks | None = None,
    ) -> None:
        self.function = function
        """The function itself."""
        self.id = id
        self.queue = queue
        """None for the task's own queue, ``task/<id>``."""
        self.retry = retry
        """None for one attempt."""
        self.machine = machine
        """What its runs are held to; None for the default."""
        self.is_isolated = isolate or machine is not None
        """Whether each run has a process of its own; one that asks for another machine than the default has anyway."""
        self.max_duration = max_duration
        self.ttl = ttl
        self.strict = strict
        """Whether a call that differs from the one made before the run was started again is an error."""
        self.evict = evict
        """Whether a run that waits may be unloaded, to start again from the top."""
        self.hooks = hooks
        """What is called as its runs begin and end; None: nothing of its own."""
        self.is_async = signature.is_async(function)
        """Whether it runs on an event loop; otherwise on a thread."""
        self.parameters: Literal[0, 1, 2] = signature.parameters(function)
        """0 for ``()``, 1 for ``(payload)``, 2 for ``(payload, ctx)``."""
        place = signature.place(function)
        self.name = f"{place.module}.{place.qualname}"
        self.file = f"{signature.relative(place.file)}:{place.line}"
        """Where it is defined, as ``path:line``."""
        self.origin = frozenset({(place.module, place.qualname), (place.file, place.qualname)})
        """Two ways to tell that a task is the same one, defined again."""
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__name__ = place.qualname.rpartition(".")[2]
        self.__qualname__ = place.qualname
        self.__module__ = place.module

    def __repr__(self) -> str:
        return f"<task {self.id!r} at {self.file}>"

    @overload
    def trigger(self: Task[None, R], **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, RunHandle[R]]: ...
    @overload
    def trigger(self, payload: P_contra, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, RunHandle[R_co]]: ...
    def trigger(self, payload: Any = MISSING, **options: Unpack[TriggerOptions]) -> Coroutine[Any, Any, RunHandle[Any]]:
        """Trigger a run and return its handle; does not wait.

        Raises:
            PayloadValidationError: The payload does not fit the annotation; nothing was sent.
            TypeError: There is no such option.
            ValueError: An option's value makes no sense.
            ApiError: The server refused, or could not be reached.

        Example::

            handle = await email_sequence.trigger(EmailSequence(to="a@b.c"), delay="1h")
        """
        from oncue.sdk import transport, triggering

        return transport.start(triggering.trigger(self.target, payload, options), "Task.trigger")

    @overload
    def trigger_and_wait(self: Task[None, R], **options: Unpack[TriggerOptions]) -> RunWaiting[R]: ...
    @overload
    def trigger_and_wait(self, payload: P_contra, **options: Unpack[TriggerOptions]) -> RunWaiting[R_co]: ...
    def trigger_and_wait(self, payload: Any = MISSING, **options: Unpack[TriggerOptions]) -> RunWaiting[Any]:
        """Trigger a run and wait for its end, inside a task; the waiting run holds no slot.

        Raises:
            OutsideTaskError: No run is executing here; nothing was sent.
            PayloadValidationError: The payload does not fit the annotation; nothing was sent.

        Example::

            result = await child.trigger_and_wait(payload)
            output = await child.trigger_and_wait(payload).unwrap()
        """
        from oncue.sdk import transport, triggering
        from oncue.sdk.waiting import RunWaiting

        flow = triggering.trigger_and_wait(self.target, payload, options, blocking=False)
        return RunWaiting(transport.start(flow, "Task.trigger_and_wait"))

    def batch_trigger(
        self,
        items: Iterable[Item[P_contra, Any] | ItemDict] | AsyncIterable[Item[P_contra, Any] | ItemDict],
        **options: Unpack[TriggerOptions],
    ) -> Coroutine[Any, Any, BatchHandle[Sequence[RunHandle[R_co]]]]:
        """Trigger many runs at once; does not wait.

        Args:
            items: A list of 1 to 1,000, or an iterator or async iterable of any length, sent as it comes.
            options: Defaults for the items; ``idempotency_key`` is the batch's own.

        Raises:
            BatchTriggerError: There are too many items, or the batch could not be created or filled.
            PayloadValidationError: A payload does not fit; names the item, and nothing was sent.

        Example::

            handle = await child.batch_trigger([item(1), item(2, delay="1h")])
        """
        from oncue.sdk import batching

        return batching.start("Task.batch_trigger", items, self.target, options)

    def batch_trigger_and_wait(
        self,
        items: Iterable[Item[P_contra, Any] | ItemDict] | AsyncIterable[Item[P_contra, Any] | ItemDict],
        **options: Unpack[TriggerOptions],
    ) -> Coroutine[Any, Any, BatchResult[tuple[Result[R_co], ...]]]:
        """Trigger many runs and wait for the end of all, inside a task.

        Raises:
            OutsideTaskError: No run is executing here; nothing was sent.

        Example::

            results = await child.batch_trigger_and_wait([item(1), item(2)])
            outputs = [run.unwrap() for run in results.runs]
        """
        from oncue.sdk import batching

        return batching.start_and_wait("Task.batch_trigger_and_wait", items, self.target, options)

    @overload
    def item(self: Task[None, R], **options: Unpack[TriggerOptions]) -> Item[None, R]: ...
    @overload
    def item(self, payload: P_contra, **options: Unpack[TriggerOptions]) -> Item[P_contra, R_co]: ...
    def item(self, payload: Any = MISSING, **options: Unpack[TriggerOptions]) -> Item[Any, Any]:
        """Make an item of a batch, which keeps the task.

        Example::

            await batch.trigger_by_task((resize.item(image), notify.item(user, delay="1m")))
        """
        from oncue.sdk.items import Item

        return Item(payload, options, task_id=self.id, task=self)

    @property
    def sync(self) -> BlockingCalls[P_contra, R_co]:
        """The same methods, blocking the thread: ``handle = child.sync.trigger(payload)``."""
        return BlockingCalls(self)

    @property
    def target(self) -> Target:
        """What a call of this task is addressed to."""
        from oncue.sdk.triggering import Target

        return Target(self.id, self)

    @functools.cached_property
    def payload_shape(self) -> Shape:
        """What the payload's annotation asks for; raises TypeError where it cannot be resolved."""
        from oncue.sdk import schema

        return schema.shape_of(signature.payload(self.function) if self.parameters else Any)

    @functools.cached_property
    def output_shape(self) -> Shape:
        """What the annotation of the return value promises; raises TypeError where it cannot be resolved."""
        from oncue.sdk import schema

        return schema.shape_of(signature.output(self.function))

    def encode_payload(self, payload: object) -> msgspec.Raw:
        """Write a payload as JSON, or nothing where the task takes none.

        Raises:
            PayloadValidationError: It does not fit the annotation, or has no JSON form.
        """
        from oncue.protocol import codec
        from oncue.protocol.errors import PayloadValidationError
        from oncue.sdk import schema, triggering

        if self.parameters == 0:
            if payload is MISSING or payload is None:
                return codec.NOTHING
            found = type(payload).__name__
            raise PayloadValidationError(
                f"task {self.id!r} takes no payload, and got one of type {found}; leave it out"
            )
        if payload is MISSING:
            raise PayloadValidationError(
                f"task {self.id!r} takes a payload, and got none; give it as the first argument"
            )
        document = triggering.encoded(payload, f"task {self.id!r}")
        schema.read(document, codec.JSON, self.payload_shape, subject="payload", task=self.id)
        return document

    def arguments(self, document: bytes | msgspec.Raw, type_: str, context: Context) -> tuple[Any, ...]:
        """Return what the function is called with for a run.

        Args:
            document: The payload as it came; empty where there was none, which stands for None.
            type_: Its type.
            context: Of the run.

        Raises:
            PayloadValidationError: The payload does not fit the annotation; names the field.
        """
        from oncue.sdk import schema

        if self.parameters == 0:
            return ()
        payload = schema.read(document or b"null", type_, self.payload_shape, subject="payload", task=self.id)
        return (payload,) if self.parameters == 1 else (payload, context)

    def read_output(self, document: bytes, type_: str) -> Any:  # noqa: ANN401 - R, or what came instead
        """Return the output of a run as the function's annotation has it.

        Raises:
            PayloadValidationError: It does not fit; names the field.
        """
        from oncue.sdk import schema

        return schema.read(document, type_, self.output_shape, subject="output", task=self.id)

    def _inline(self, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - what the function returns
        """Call the function, with a context made up where it takes one and none was given."""
        if self.parameters == 2 and len(arguments) == 1:  # noqa: PLR2004 - (payload, ctx)
            arguments = (*arguments, self._inline_context())
        return self.function(*arguments)

    def _inline_context(self) -> Context:
        from oncue.sdk import execution
        from oncue.sdk.context import local_context

        running = execution.current.get()
        if running is not None:
            return running.context
        return local_context(self.id, self.file, self.queue.name if self.queue else f"task/{self.id}")


class AsyncTask(Task[P_contra, R_co]):
    """A task made of a coroutine function."""

    @overload
    def __call__(self: AsyncTask[None, R]) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, payload: P_contra, ctx: Context = ..., /) -> Coroutine[Any, Any, R_co]: ...
    def __call__(self, *arguments: Any) -> Coroutine[Any, Any, Any]:
        """Run the function inline, as an ordinary one: no server, no run, no retry."""
        return cast("Coroutine[Any, Any, Any]", self._inline(arguments))


class SyncTask(Task[P_contra, R_co]):
    """A task made of a plain function."""

    @overload
    def __call__(self: SyncTask[None, R]) -> R: ...
    @overload
    def __call__(self, payload: P_contra, ctx: Context = ..., /) -> R_co: ...
    def __call__(self, *arguments: Any) -> Any:
        """Run the function inline, as an ordinary one: no server, no run, no retry."""
        return self._inline(arguments)
