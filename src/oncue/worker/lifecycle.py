"""Lifecycle: call the hooks of a run around the task's function.

A task without hooks never comes here. What a hook raises after the task's function has ended is logged and changes
nothing; before it, it fails the attempt as if the function had raised it. A run that is stopped for any reason but a
cancellation calls none: its lease is lost, it goes on elsewhere, or its time is used up.

Life of a run, this module's part::

    worker/executor -> lifecycle.around -> sdk/hooks -> the task's function
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from typing import Any

from oncue import telemetry
from oncue.protocol.errors import AbortRun, PayloadValidationError, RunCancelled, RunStopped
from oncue.sdk.hooks import EVERY_TASK, Hook, Hooks, RunEvent
from oncue.sdk.task import Task
from oncue.worker.base_execution import BaseExecution, Stop


def around(run: BaseExecution, task: Task[Any, Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Return what to call in place of the task's function: that itself where there are no hooks."""
    hooks = EVERY_TASK if task.hooks is None else task.hooks.within(EVERY_TASK)
    if not hooks:
        return task.function
    life = _Life(run, task, hooks, arguments)
    return life.run_async if task.is_async else life.run_plain


class _Life:
    """One attempt with its hooks."""

    def __init__(self, run: BaseExecution, task: Task[Any, Any], hooks: Hooks, arguments: tuple[Any, ...]) -> None:
        self._run, self._task, self._hooks = run, task, hooks
        self._event = RunEvent(run.context, arguments[0] if arguments else None)

    async def run_async(self, *arguments: Any) -> Any:  # noqa: ANN401 - what the task returns
        """Run an ``async def`` with its hooks."""
        try:
            if self._is_first():
                for hook in self._hooks.on_start:
                    await _awaited(hook(self._event))
            async with AsyncExitStack() as stack:
                for hook in self._hooks.middleware:
                    manager = hook(self._event)
                    if isinstance(manager, AbstractAsyncContextManager):
                        await stack.enter_async_context(manager)
                    else:
                        stack.enter_context(manager)
                output = await self._task.function(*arguments)
        except BaseException as error:
            told = await self._failed(error)
            if told is error:
                raise
            raise told from error
        await self._tell("on_success", self._hooks.on_success, output=output)
        await self._tell("on_complete", self._hooks.on_complete, output=output)
        return output

    def run_plain(self, *arguments: Any) -> Any:  # noqa: ANN401 - what the task returns
        """Run a plain ``def`` with its hooks, on its thread."""
        try:
            if self._is_first():
                for hook in self._hooks.on_start:
                    self._blocked(_awaited(hook(self._event)))
            with ExitStack() as stack:
                for hook in self._hooks.middleware:
                    stack.enter_context(_plain_manager(hook, self._event))
                output = self._task.function(*arguments)
        except BaseException as error:
            told = self._blocked(self._failed(error))
            if told is error:
                raise
            raise told from error
        self._blocked(self._tell("on_success", self._hooks.on_success, output=output))
        self._blocked(self._tell("on_complete", self._hooks.on_complete, output=output))
        return output

    def _blocked(self, coroutine: Any) -> Any:  # noqa: ANN401 - what the coroutine returns
        """Drive a coroutine on this thread, which it leaves if a hook awaits something: that is refused."""
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        coroutine.close()
        raise TypeError(
            f"a hook of the plain task {self._task.id!r} awaits something, which only those of async tasks can; make "
            "the hook a plain function"
        )

    async def _failed(self, error: BaseException) -> BaseException:
        """Call the hooks for what was raised; returns what is to be raised."""
        run = self._run
        if run.stopped is Stop.CANCELLED or isinstance(error, RunCancelled):
            await self._tell("on_cancel", self._hooks.on_cancel)
        if run.stopped is not None or isinstance(error, RunStopped) or not isinstance(error, Exception):
            return error
        for hook in self._hooks.catch_error:
            found = await self._asked(hook, error)
            error = error if found is None else found
        if self._is_last(error):
            await self._tell("on_failure", self._hooks.on_failure, error=error)
            await self._tell("on_complete", self._hooks.on_complete, error=error)
        return error

    async def _asked(self, hook: Hook, error: Exception) -> Exception | None:
        try:
            found = await _awaited(hook(RunEvent(self._event.ctx, self._event.payload, error=error)))
        except Exception as raised:  # noqa: BLE001 - user code; what it raises counts as what it returns
            return raised
        if found is not None and not isinstance(found, Exception):
            return TypeError(f"catch_error returned {found!r}; expected None or an exception to raise instead")
        return found

    async def _tell(
        self, name: str, hooks: Iterable[Hook], *, output: object = None, error: Exception | None = None
    ) -> None:
        event = RunEvent(self._event.ctx, self._event.payload, output, error)
        for hook in hooks:
            try:
                await _awaited(hook(event))
            except Exception as raised:  # noqa: BLE001 - the run has ended; nothing that a hook raises changes that
                telemetry.event(
                    "hook.failed", hook=name, run_id=self._run.run_id, task=self._task.id, error=repr(raised)[:500]
                )

    def _is_first(self) -> bool:
        return self._event.ctx.attempt.number == 1

    def _is_last(self, error: Exception) -> bool:
        if isinstance(error, AbortRun | PayloadValidationError):
            return True
        retry = self._task.retry
        most = self._event.ctx.run.max_attempts or (1 if retry is None else retry.max_attempts)
        return self._event.ctx.attempt.number >= most


async def _awaited(value: Any) -> Any:  # noqa: ANN401 - what the hook returns
    if inspect.isawaitable(value):
        awaitable: Awaitable[Any] = value
        return await awaitable
    return value


def _plain_manager(hook: Hook, event: RunEvent) -> Any:  # noqa: ANN401 - a context manager
    manager = hook(event)
    if isinstance(manager, AbstractAsyncContextManager):
        raise TypeError(
            f"middleware {hook!r} is for async tasks; a plain task wants one made with @contextlib.contextmanager"
        )
    return manager
