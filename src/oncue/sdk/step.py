"""Step: do something once, though the run may be started again from the top.

The function is called, its result is stored, and a run that starts again because its worker was lost gets the stored
result instead of doing it a second time. Between the two a worker may still be lost, so the function runs at least
once; pass ``ctx.run.id`` on where it must not happen twice outside either.

Life of a run, this module's part::

    step("charge", fn) -> requests.recall_step, where the run was started again -> fn() -> requests.record_step
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, overload

import msgspec

from oncue.protocol.errors import OutsideTaskError
from oncue.protocol.work import StepCall, StepRecord
from oncue.sdk import execution, flows, inside, requests, transport, triggering
from oncue.sdk.flows import Flow

T = TypeVar("T")

_LONGEST_NAME: Final = 256


class Steps:
    """``step(...)``, to be awaited, and ``step.sync(...)``, which blocks the thread."""

    @overload
    def __call__(self, name: str, function: Callable[[], object], *, returns: type[T]) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, name: str, function: Callable[[], object]) -> Coroutine[Any, Any, Any]: ...
    def __call__(self, name: str, function: Callable[[], object], *, returns: Any = Any) -> Coroutine[Any, Any, Any]:
        """Call a function once in this attempt, and keep its result.

        Args:
            name: What it does, 1 to 256 characters; steps of one name are told apart by their order.
            function: Takes nothing; plain or ``async def``. What it raises is raised, and nothing is kept.
            returns: The result's type, for instance a dataclass; without it the result is what JSON makes of it.

        Returns:
            The result as JSON gives it back, the first time too, so that both times are alike.

        Raises:
            OutsideTaskError: No run is executing here.
            PayloadValidationError: The result has no JSON form, or does not fit ``returns``.

        Example::

            receipt = await step("charge", lambda: bank.charge(order), returns=Receipt)
        """
        return self._run(_call(name, blocking=False), function, returns)

    @overload
    def sync(self, name: str, function: Callable[[], object], *, returns: type[T]) -> T: ...
    @overload
    def sync(self, name: str, function: Callable[[], object]) -> Any: ...  # noqa: ANN401 - what JSON makes of it
    def sync(self, name: str, function: Callable[[], object], *, returns: Any = Any) -> Any:
        """Do it in a plain function's task: ``step.sync("charge", lambda: bank.charge(order))``."""
        call = _call(name, blocking=True)
        document = transport.run(_recalled(call))
        if document is None:
            document = _encoded(function(), call)
            transport.run(_recorded(call, document))
        return _read(document, returns, call)

    async def _run(self, call: StepCall, function: Callable[[], object], returns: Any) -> Any:  # noqa: ANN401 - see above
        document = await transport.start(_recalled(call), "step")
        if document is None:
            value = function()
            if inspect.isawaitable(value):
                value = await value
            document = _encoded(value, call)
            await transport.start(_recorded(call, document), "step")
        return _read(document, returns, call)


def _call(name: object, *, blocking: bool) -> StepCall:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(f"step name {name!r} is not accepted; expected 1 to {_LONGEST_NAME} characters")
    if execution.current.get() is None:
        raise OutsideTaskError(
            "step() keeps a result for the run that calls it, and no run is executing here; call the function itself"
        )
    inside.parent("step", blocking=blocking)
    return StepCall(**inside.lineage("step", name))


def _recalled(call: StepCall) -> Flow[bytes | None]:
    """Return what the step gave before; only a run that was started again has to ask."""
    running = execution.current.get()
    if running is None or running.epoch <= running.context.attempt.number:
        return None
    found = yield from flows.exchange(requests.recall_step(call))
    return bytes(found.output) or b"null" if found.found else None


def _recorded(call: StepCall, document: bytes) -> Flow[None]:
    yield from flows.exchange(requests.record_step(StepRecord(call, msgspec.Raw(document))))


def _encoded(value: object, call: StepCall) -> bytes:
    return bytes(triggering.encoded(value, f"step {call.call_key}"))


def _read(document: bytes, returns: Any, call: StepCall) -> Any:  # noqa: ANN401 - what the caller asks for
    from oncue.sdk import schema

    shape = schema.shape_of(returns)
    return schema.read(document, "application/json", shape, subject="output", task=f"step {call.call_key}")


step: Final = Steps()
