"""Remote: an execution as its own process sees it. The run itself is the worker's, which is asked for everything.

Life of a run, this module's part::

    user code -> sdk/execution.current -> RemoteRun -> messages -> worker/isolation/isolated -> worker/runs.HeldRun
"""

import asyncio
import itertools
import threading
import weakref
from collections.abc import Coroutine, Sequence
from typing import Any

from oncue.protocol.errors import BatchTriggerError
from oncue.protocol.logs import Level
from oncue.protocol.work import Assignment, ChildResult, WaitpointSettled
from oncue.sdk.context import Context, context_from
from oncue.sdk.task import Task
from oncue.worker import log_shipping
from oncue.worker.base_execution import BaseExecution, Stop
from oncue.worker.isolation.channel import Channel
from oncue.worker.isolation.messages import Ask, Begin, BranchEnded, Counting, Line, Settled, WaitFor


class RemoteRun(BaseExecution):
    """One execution of a run, in a process of its own; implements ``oncue.sdk.execution.Execution``."""

    __slots__ = ("_begin", "_branches", "_channel", "_context", "_loop", "_loop_thread_id", "_numbers", "_waiters")

    def __init__(
        self,
        begin: Begin,
        task: Task[Any, Any],
        channel: Channel,
        loop: asyncio.AbstractEventLoop,
        loop_thread_id: int,
    ) -> None:
        assignment = begin.assignment
        super().__init__(assignment.run_id, assignment.epoch, assignment.task, task)
        self._begin = begin
        self._channel = channel
        self._loop = loop
        self._loop_thread_id = loop_thread_id
        self._context = context_from(
            assignment,
            task_file=task.file,
            environment=begin.environment,
            worker_id=begin.worker_id,
            machine=begin.machine,
        )
        self._numbers = itertools.count(1)
        self._waiters: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._branches: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()

    @property
    def assignment(self) -> Assignment:
        """What was handed out."""
        return self._begin.assignment

    @property
    def context(self) -> Context:
        """What the task is told about its run."""
        return self._context

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """This process's."""
        return self._loop

    @property
    def loop_thread_id(self) -> int:
        """The main thread for an ``async def``, another one for a plain function."""
        return self._loop_thread_id

    @property
    def worker_id(self) -> str:
        """Goes with every write about the run."""
        return self._begin.worker_id

    def stand_still(self) -> None:
        """Have the worker count no compute time from now on."""
        self._channel.send(Counting(counts=False))

    def go_on(self) -> None:
        """Have the worker count compute time again."""
        self._channel.send(Counting(counts=True))

    def call_key(self, kind: str, task: str, key: str | None = None) -> str:
        """Name a durable call, as the worker counts them.

        Raises:
            RunStopped: The run must not go on.
        """
        self.check()
        name = self._channel.ask(Ask(kind, task, key))
        if name is None:
            # The news of why is on its way.
            raise (self.stopped or Stop.LOST).error()
        return name

    def log(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        """Attach a line to the run."""
        self._channel.send(Line(level, log_shipping.storable(message), log_shipping.plain(fields)))

    def wait_for_run(self, run_id: str) -> Coroutine[Any, Any, ChildResult]:
        """Park until a child has ended."""
        return self._wait(run_id)

    def wait_for_batch(self, batch_id: str, *, stays: bool = False) -> Coroutine[Any, Any, Sequence[ChildResult]]:
        """Park until a batch has ended; its results in item order."""
        return self._wait(batch_id, stays=stays)

    def wait_for_waitpoint(self, waitpoint_id: str) -> Coroutine[Any, Any, WaitpointSettled]:
        """Park until a moment has come, or a token was completed or timed out."""
        return self._wait(waitpoint_id)

    def settle(self, news: Settled) -> None:
        """Give a result to the code that waits for it; on the process's loop."""
        target, waiter = self._waiters.pop(news.number)
        if waiter.done():
            return
        if news.given_up is not None:
            error = BatchTriggerError(news.given_up, phase="stream", item_count=news.item_count, batch_id=target)
            waiter.set_exception(error)
        else:
            waiter.set_result(news.child or news.waitpoint or news.children)

    def give_up_waits(self) -> None:
        """Tell plain code that waits why it must not go on; on the process's loop."""
        assert self.stopped is not None
        for _, waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(self.stopped.error())

    async def _wait(self, target: str, *, stays: bool = False) -> Any:  # noqa: ANN401 - what the target's kind says
        self.check()
        if threading.get_ident() != self._loop_thread_id:
            # User code on a loop of its own, in a thread it started.
            return await asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._wait(target, stays=stays), self._loop)
            )
        waiter: asyncio.Future[Any] = self._loop.create_future()
        number = next(self._numbers)
        self._waiters[number] = (target, waiter)
        self._channel.send(WaitFor(number, target, self._branch(), stays))
        return await waiter

    def _branch(self) -> int:
        """Return the number of the branch of the task's code that asks; the worker is told when it ends."""
        branch = asyncio.current_task()
        assert branch is not None
        if branch not in self._branches:
            number = self._branches[branch] = next(self._numbers)
            branch.add_done_callback(lambda _: self._channel.send(BranchEnded(number)))
        return self._branches[branch]
