"""Transport: the two senders, which carry out the steps of a flow.

``start`` drives a flow on the running event loop, ``run`` on the calling thread. They differ in nothing but how they
send, sleep and wait; what is sent, and when again, is decided in ``flows.py``.

Life of a run, this module's part::

    flow -> start | run -> connections -> server -> Answer -> flow
"""

import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from oncue.sdk import connections
from oncue.sdk.flows import Flow, Park, Pull, Send, Sleep, Step, Together

T = TypeVar("T")

AT_ONCE: Final = 10
"""Flows that are carried out together; the others wait for their turn. Source: wire contract §2.10."""


class Clock(Protocol):
    """Where the senders get their time from; tests set one of their own."""

    def now(self) -> float:
        """Return epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Block the thread."""

    async def pause(self, seconds: float) -> None:
        """Suspend the coroutine."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        """Suspend the coroutine."""
        import asyncio

        await asyncio.sleep(seconds)


clock: Clock = SystemClock()


def start(flow: Flow[T], name: str) -> Coroutine[Any, Any, T]:
    """Return a coroutine that carries a flow out on the running event loop.

    Args:
        flow: Not begun yet.
        name: Of the function that the user called, for the warning about one that is never awaited.
    """
    coroutine: Any = _drive(flow)
    coroutine.__qualname__ = name
    named: Coroutine[Any, Any, T] = coroutine
    return named


def run(flow: Flow[T]) -> T:
    """Carry a flow out on this thread, and return its value."""
    reply: Any = None
    failed: Exception | None = None
    while True:
        try:
            step = flow.send(reply) if failed is None else flow.throw(failed)
        except StopIteration as done:
            value: T = done.value
            return value
        reply = failed = None
        try:
            reply = _carry_out(step)
        except Exception as error:  # noqa: BLE001 - the flow decides what a failed step means
            failed = error


async def _drive(flow: Flow[T]) -> T:
    reply: Any = None
    failed: Exception | None = None
    while True:
        try:
            step = flow.send(reply) if failed is None else flow.throw(failed)
        except StopIteration as done:
            value: T = done.value
            return value
        # The steps' own fields, and no names for them: a run may be parked for days, and many are, so nothing of what
        # led there is kept for so long.
        reply = failed = None
        try:
            match step:
                case Send():
                    reply = await connections.send(step.request, step.timeout_s, clock.now, by=step.by)
                case Sleep():
                    if step.seconds > 0:
                        await clock.pause(step.seconds)
                    reply = clock.now()
                case Pull():
                    reply = await step.source.pull()
                case Together():
                    reply = await _drive_together(step.flows)
                case Park():
                    waiting = step.wait()
                    del step
                    reply = await waiting
                    del waiting
        except Exception as error:  # noqa: BLE001 - the flow decides what a failed step means
            failed = error


def _carry_out(step: Step) -> Any:  # noqa: ANN401 - what the step is answered with
    match step:
        case Send(request, timeout_s, _):
            return connections.send_blocking(request, timeout_s, clock.now)
        case Sleep(seconds):
            if seconds > 0:
                clock.sleep(seconds)
            return clock.now()
        case Pull(source):
            return source.pull_blocking()
        case Together(flows):
            return _run_together(flows)
        case Park(execution, wait):
            return execution.block_on(wait())


async def _drive_together(flows: Sequence[Flow[Any]]) -> list[Any]:
    import asyncio

    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(flow: Flow[Any]) -> Any:  # noqa: ANN401 - what the flow returns
        async with turns:
            return await _drive(flow)

    try:
        async with asyncio.TaskGroup() as group:
            driven = [group.create_task(in_turn(flow)) for flow in flows]
    except BaseExceptionGroup as failures:
        # The others have been stopped: what is to be made of several at once fails as a whole.
        raise failures.exceptions[0] from None
    return [each.result() for each in driven]


def _run_together(flows: Sequence[Flow[Any]]) -> list[Any]:
    if len(flows) == 1:
        return [run(flows[0])]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(AT_ONCE, len(flows)), thread_name_prefix="oncue-transfer") as threads:
        return list(threads.map(run, flows))
