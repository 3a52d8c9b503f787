"""Process: be the process of one isolated run: call its code, tell the worker what became of it, and end.

An ``async def`` runs on an event loop in the main thread. A plain function has the main thread to itself, so that a
signal can interrupt it wherever it is in Python or waits for the system; its waits are done on a loop beside it.

Life of a run, this module's part::

    worker/isolation/fork_server -> process.run -> user code -> Done -> worker/isolation/isolated
"""

import asyncio
import contextlib
import faulthandler
import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import FrameType
from typing import Any, Final, NoReturn

from oncue import telemetry
from oncue.protocol.errors import RunStopped
from oncue.protocol.work import HandedBack, Outcome
from oncue.sdk import execution
from oncue.sdk.task import Task
from oncue.worker import arguments, documents, lifecycle, loops, outcomes
from oncue.worker.base_execution import Stop
from oncue.worker.isolation.channel import Channel
from oncue.worker.isolation.messages import Done, Settled, StopNow
from oncue.worker.isolation.remote import RemoteRun

_INTERRUPT: Final = signal.SIGUSR1
"""Tells the main thread of a plain function to stop."""

WORKERS_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""They tell the worker to stop. A service manager may send them to all processes of a service, but a run goes on until
its worker ends it. Handled and not ignored: what the task starts is to heed them."""

_AGAIN_S: Final = 0.005


def run(tasks: Mapping[str, Task[Any, Any]], connection: socket.socket) -> NoReturn:
    """Run what the worker says, and end the process."""
    faulthandler.enable(all_threads=False)
    for number in WORKERS_SIGNALS:
        signal.signal(number, _not_ours)
    os.register_at_fork(after_in_child=_as_usual)
    for stream in (sys.stdout, sys.stderr):
        # By the line, as at a terminal: what a process printed before it died is what people look for. A module of
        # tasks may have put something else in place of the streams.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    channel = Channel(connection)
    begin = channel.first()
    task = tasks.get(begin.assignment.task)
    if task is None:
        telemetry.event("task.unknown", task=begin.assignment.task, run_id=begin.assignment.run_id)
        _end(channel, HandedBack(begin.assignment.run_id, begin.assignment.epoch))
    loop = loops.new()
    if task.is_async:
        held = RemoteRun(begin, task, channel, loop, threading.get_ident())
        _run_async(held, task, channel)
    else:
        beside = threading.Thread(target=_serve, args=(loop,), name="oncue-loop", daemon=True)
        beside.start()
        assert beside.ident is not None
        held = RemoteRun(begin, task, channel, loop, beside.ident)
        _run_plain(held, task, channel)


def _run_async(held: RemoteRun, task: Task[Any, Any], channel: Channel) -> NoReturn:
    loop = held.loop
    asyncio.set_event_loop(loop)
    main = loop.create_task(_called(held, task))
    channel.listen(lambda news: _hear(held, news, main.cancel))
    while not main.done():
        try:
            loop.run_until_complete(main)
        except (SystemExit, KeyboardInterrupt):
            continue
    _end(channel, None if main.cancelled() else main.result())


async def _called(held: RemoteRun, task: Task[Any, Any]) -> Outcome | None:
    execution.current.set(held)
    try:
        assignment = await documents.fetched(held, held.assignment)
    except RunStopped:
        return None
    except Exception as error:  # noqa: BLE001 - nothing may go unreported
        return documents.not_fetched(held, error)
    try:
        parameters = arguments.read(held, task, assignment)
    except Exception as error:  # noqa: BLE001 - an annotation's own code may raise anything
        return arguments.not_read(held, error)
    outcome = await _awaited(held, lifecycle.around(held, task, parameters), parameters)
    await _flushed(held)
    return outcome


async def _awaited(
    held: RemoteRun, function: Callable[..., Coroutine[Any, Any, Any]], parameters: tuple[Any, ...]
) -> Outcome | None:
    try:
        value = await function(*parameters)
        return await documents.stored(held, outcomes.returned(held.run_id, held.epoch, 0, value))
    except BaseException as error:  # noqa: BLE001 - nothing that user code raises may go unreported
        return None if held.stopped is not None else outcomes.raised(held.run_id, held.epoch, 0, error)


async def _flushed(held: RemoteRun) -> None:
    unsent = held.unsent_metadata()
    if unsent is not None:
        await unsent


def _run_plain(held: RemoteRun, task: Task[Any, Any], channel: Channel) -> NoReturn:
    interruption = _Interruption(held, channel)
    channel.listen(lambda news: _hear(held, news, interruption.send))
    execution.current.set(held)
    try:
        assignment = documents.fetched_blocking(held, held.assignment)
    except Exception as error:  # noqa: BLE001 - nothing may go unreported
        _end(channel, documents.not_fetched(held, error))
    except RunStopped:
        _end(channel, None)
    try:
        parameters = arguments.read(held, task, assignment)
    except Exception as error:  # noqa: BLE001 - an annotation's own code may raise anything
        _end(channel, arguments.not_read(held, error))
    outcome = interruption.call(lifecycle.around(held, task, parameters), parameters)
    asyncio.run_coroutine_threadsafe(_flushed(held), held.loop).result()
    _end(channel, outcome)


class _Interruption:
    """Stops a plain function, once: what it does about that is its own affair."""

    def __init__(self, held: RemoteRun, channel: Channel) -> None:
        self._held = held
        self._channel = channel
        self._is_due = False
        self._main_id = threading.get_ident()
        signal.signal(_INTERRUPT, self._interrupt)

    def send(self) -> None:
        """Interrupt the main thread; on the process's loop."""
        self._held.give_up_waits()
        signal.pthread_kill(self._main_id, _INTERRUPT)

    def call(self, function: Callable[..., Any], parameters: tuple[Any, ...]) -> Outcome | None:
        """Call the function; return what became of it, nothing where it was stopped."""
        held = self._held
        try:
            self._is_due = True
            held.check()
            value = function(*parameters)
            self._is_due = False
            return documents.stored_blocking(held, outcomes.returned(held.run_id, held.epoch, 0, value))
        except BaseException as error:  # noqa: BLE001 - nothing that user code raises may go unreported
            self._is_due = False
            return None if held.stopped is not None else outcomes.raised(held.run_id, held.epoch, 0, error)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_due or self._held.stopped is None:
            return
        if self._channel.is_used_by(self._main_id):
            # A message that is broken off could not be read; in a moment it is sent.
            self._held.loop.call_soon_threadsafe(self._held.loop.call_later, _AGAIN_S, self.send)
            return
        self._is_due = False
        raise self._held.stopped.error()


def _hear(held: RemoteRun, news: Settled | StopNow, stop: Callable[[], object]) -> None:
    match news:
        case Settled():
            held.loop.call_soon_threadsafe(held.settle, news)
        case StopNow(reason=reason):
            held.stopped = Stop[reason]
            held.loop.call_soon_threadsafe(stop)


def _not_ours(_number: int, _frame: FrameType | None) -> None:
    """Do nothing about a signal that the worker answers."""


def _as_usual() -> None:
    """Let a process that the task forks heed the signals again, unless the task handles them."""
    for number in WORKERS_SIGNALS:
        if signal.getsignal(number) is _not_ours:
            signal.signal(number, signal.SIG_DFL)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _end(channel: Channel, outcome: Outcome | None) -> NoReturn:
    """Say what became of the run and end, whatever threads of the task's are left."""
    for stream in (sys.stdout, sys.stderr):
        # The task may have closed it, or put something else in its place.
        with contextlib.suppress(Exception):
            stream.flush()
    channel.send(Done(outcome))
    os._exit(0)
