"""Supervisor: the life of a worker process, from its announcement to its farewell.

Decides under which identity the worker speaks, when that is lost and made anew, and how it stops: no new runs, those
that wait unloaded, time for those under way, the rest handed back, outcomes delivered, good-bye. A second signal
shortens that to the good-bye.

Life of a run, this module's part::

    announce -> poller, reporter, heartbeat ... -> drain -> leave
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from oncue import telemetry
from oncue.protocol import ids, work
from oncue.protocol.errors import ApiError, ConnectionFailed, OncueError, RateLimited, ServerError, SettingsError
from oncue.sdk import requests, settings
from oncue.sdk.settings import Settings
from oncue.sdk.task import Task
from oncue.worker import capacity, discovery, fingerprint, loops, processes
from oncue.worker.base_execution import Stop
from oncue.worker.executor import Executor
from oncue.worker.heartbeat import HeartbeatThread
from oncue.worker.isolation.warm import WarmProcess
from oncue.worker.link import Link
from oncue.worker.log_shipping import LogShipper
from oncue.worker.loop_watch import LoopWatch
from oncue.worker.notices import Notices
from oncue.worker.options import WorkerOptions
from oncue.worker.outage import Outage
from oncue.worker.places import Places
from oncue.worker.poller import Poller
from oncue.worker.reporter import Reporter
from oncue.worker.runs import Session
from oncue.worker.threads import Threads
from oncue.worker.unloading import Unloader

__all__ = ["Worker", "WorkerOptions", "run", "run_worker"]

_SETTLE_S: Final = 1.0
"""How long runs that only wait are kept once nothing executes: the news that wakes them may be on its way."""

_UNWIND_S: Final = 2.0
"""How long cancelled tasks have for their ``finally`` blocks, and threads of user code to end."""

_FLUSH_S: Final = 5.0
"""How long the last outcomes and the good-bye may take with a server that is silent."""

_CHECK_S: Final = 0.05


class Worker:
    """One worker process, or what stands for one in a test."""

    def __init__(self, tasks: Sequence[Task[Any, Any]], where: Settings, options: WorkerOptions) -> None:
        """Prepare; ``run`` does the work.

        Args:
            tasks: What it can run.
            where: The server.
            options: How much at once, and how it ends; the targets have been imported.

        Raises:
            SettingsError: A task's annotations cannot be resolved.
        """
        self._tasks = tasks
        self._where = where
        self._options = options
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._worker_id = ""
        self._declarations = discovery.declarations(tasks)
        self._fingerprint = fingerprint.of_code(tasks)
        self.announced = asyncio.Event()
        """Set while the server knows the worker."""

    def stop(self) -> None:
        """Stop: the first time with grace, the second time at once."""
        (self._hurrying if self._stopping.is_set() else self._stopping).set()

    async def run(self) -> None:
        """Work until ``stop`` is called.

        Raises:
            ApiError: The server refuses this worker, for instance because it does not know the key.
        """
        async with Link(self._where) as self._link:
            self._assemble()
            try:
                self._renewal = self._keep(self._renew())
                await self._stopping.wait()
                if self.announced.is_set():
                    await self._drain()
                    await self._leave()
            finally:
                await self._dismantle()
        if self._failure is not None:
            raise self._failure

    def _assemble(self) -> None:
        # Now, and not when a run has done its work.
        settings.offload_bytes()
        options, link = self._options, self._link
        self._places = Places(options.concurrency)
        self._reporter = Reporter(link, lambda: self._worker_id, self._lost)
        self._threads = Threads(asyncio.get_running_loop(), kept=options.concurrency)
        tasks = {task.id: task for task in self._tasks}
        self._processes = WarmProcess(options.targets, self._where, options.log_level)
        if any(task.is_isolated for task in self._tasks):
            self._processes.warm_up()
        self.executor = Executor(tasks, self._places, self._threads, self._processes, self._reporter.add)
        self._unloader = Unloader(
            self.executor.stop,
            max_parked=options.max_parked,
            max_memory_bytes=options.max_memory_bytes,
            process_bytes=capacity.of(options).memory_bytes,
            always=settings.evicts_always(),
        )
        self._logs = LogShipper(link)
        self._shipping = self._keep(self._logs.run())
        self._notices = Notices(link, self.executor)
        self._heartbeat = HeartbeatThread(self._where, self._lost)
        self._poller = Poller(
            link, self._places, self.executor, self._reporter, self._notices,
            is_suspect=lambda: self._heartbeat.is_suspect, unknown=self._lost,
        )  # fmt: skip
        self._watch = LoopWatch(self.executor.runs)
        self._watch.start()
        self._reporting = self._keep(self._reporter.run())

    async def _renew(self) -> None:
        """Announce the worker under a fresh identity, however long that takes, and begin to poll."""
        outage = Outage("announce.failed")
        self._worker_id = ids.new_worker_id()
        announcement = self._announcement()
        welcome: work.Welcome | None = None
        while welcome is None:
            try:
                welcome = await self._link.announce(announcement)
            except (ConnectionFailed, ServerError, RateLimited) as error:
                await asyncio.sleep(outage.failed(error))
        telemetry.event(
            "worker.announced",
            worker_id=self._worker_id,
            environment=welcome.environment,
            tasks=len(announcement.tasks),
            places=announcement.places,
            version=welcome.version,
        )
        self._heartbeat.start(self._worker_id, welcome)
        session = Session(self._worker_id, welcome.environment, self._places, self._unloader, self._logs)
        self._polling = self._keep(self._poller.run(session, welcome.claim_wait_ms))
        self.announced.set()

    def _announcement(self) -> work.Announcement:
        queues = self._options.queues
        cpus, memory_bytes = capacity.of(self._options)
        return work.Announcement(
            worker_id=self._worker_id,
            tasks=self._declarations,
            places=self._options.concurrency,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            sdk_version=requests.version(),
            queues=None if queues is None else list(queues),
            version=self._options.version,
            fingerprint=self._fingerprint,
            region=self._options.region,
            cpus=cpus,
            memory_bytes=memory_bytes,
        )

    def _lost(self, worker_id: str | None = None) -> None:
        """Give the identity up: the server does not know it. Its runs are somebody else's by now."""
        if not self.announced.is_set() or worker_id not in (None, self._worker_id):
            return
        self.announced.clear()
        self._heartbeat.pause()
        if self._polling is not None:
            self._polling.cancel()
        self._notices.forget()
        stopped = self.executor.stop_all(Stop.LOST)
        telemetry.event("worker.lost", worker_id=self._worker_id, runs=stopped)
        if not self._stopping.is_set():
            self._renewal = self._keep(self._renew())

    async def _drain(self) -> None:
        """Let runs end, hand back the rest, deliver outcomes; at once where a second signal asks for it."""
        self._poller.takes_runs = False
        self._unloader.unload_all()
        await self._unless_hurried(self._runs_ended(), self._options.grace.total_seconds())
        if self.executor.stop_all(Stop.HANDED_BACK):
            await self._unless_hurried(self._coroutines_ended(), _UNWIND_S)
        # Before its run is handed back, for others to start.
        await self._processes.close()
        self.executor.abandon()
        await self._unless_hurried(self._reporter.flushed(), _FLUSH_S)
        await self._unless_hurried(self._logs.flushed(), _FLUSH_S)

    async def _runs_ended(self) -> None:
        """Return when nothing is held, or when what is held only waits and nothing has woken it for a while.

        A run whose task is never to be unloaded has all the time that there is.
        """
        runs, loop = self.executor.runs, asyncio.get_running_loop()
        settled_at: float | None = None
        while runs:
            if self._places.taken or any(run.task is not None and not run.task.evict for run in runs.values()):
                settled_at = None
            elif settled_at is None:
                settled_at = loop.time() + _SETTLE_S
            elif loop.time() > settled_at:
                return
            self.executor.emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_S):
                    await self.executor.emptied.wait()

    async def _coroutines_ended(self) -> None:
        futures = [run.future for run in self.executor.runs.values() if run.future is not None]
        if futures:
            await asyncio.wait(futures)

    async def _unless_hurried(self, work_left: Coroutine[Any, Any, None], timeout_s: float) -> None:
        both = (asyncio.ensure_future(work_left), asyncio.ensure_future(self._hurrying.wait()))
        await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        await _ended(*both)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._link.leave(self._worker_id)
        except (ApiError, TimeoutError) as error:
            # Its lease will run out; nothing is lost but time.
            telemetry.event("leave.failed", worker_id=self._worker_id, error=type(error).__name__, message=str(error))
        else:
            telemetry.event("worker.left", worker_id=self._worker_id)

    async def _dismantle(self) -> None:
        self._heartbeat.stop()
        self._watch.stop()
        self._unloader.close()
        self._notices.close()
        self._threads.close()
        await self._processes.close()
        await _ended(
            *(part for part in (self._renewal, self._polling, self._reporting, self._shipping) if part is not None)
        )

    def _keep(self, part: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a part of the worker; if it fails, the worker stops and ``run`` raises the failure."""
        task = asyncio.ensure_future(part)
        task.add_done_callback(self._part_ended)
        return task

    def _part_ended(self, part: "asyncio.Task[None]") -> None:
        error = None if part.cancelled() else part.exception()
        if error is not None:
            self._failure = self._failure or error
            self._stopping.set()


async def run_worker(options: WorkerOptions) -> None:
    """Be a worker process until a signal ends it: once for a stop with grace, twice for one at once.

    Raises:
        SettingsError: The code cannot be imported, has no task, or there is no key.
        ApiError: The server refuses this worker.
    """
    tasks = discovery.discover(options.targets)
    worker = Worker(tasks, settings.current(), options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows' loops take no handlers; there Ctrl-C ends the process, and the lease runs out.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, worker.stop)
    await worker.run()


def run(options: WorkerOptions) -> int:
    """Run a worker until it is told to stop; return the exit code of the process.

    Returns:
        0 after a signal, 1 where the server refused the worker or something broke, 2 where the code or a setting
        is at fault. The reason is on standard error, in one line.
    """
    if options.processes > 1:
        return processes.supervise(options)
    loop = loops.new()
    asyncio.set_event_loop(loop)
    code = _run_on(loop, options)
    _close(loop)
    return _leave_threads(code)


def _run_on(loop: asyncio.AbstractEventLoop, options: WorkerOptions) -> int:
    main = loop.create_task(run_worker(options))
    while True:
        try:
            loop.run_until_complete(main)
        except SettingsError as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
        except OncueError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        except (SystemExit, KeyboardInterrupt):
            # Raised by a task that user code made beside its own: asyncio lets these two out of the loop. The run
            # that awaits it gets the exception and fails; the worker goes on.
            if main.done():
                raise
        else:
            return 0


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close the loop as ``asyncio.run`` does, but wait neither for tasks nor for threads that will not end."""
    if left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=_UNWIND_S))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


def _leave_threads(code: int) -> int:
    """Return the exit code; where user code has left threads that do not end, end the process with it instead.

    The worker has said good-bye and its runs are with others, but Python would wait for such a thread for ever.
    """
    deadline_s = time.monotonic() + _UNWIND_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline_s - time.monotonic()))
            if thread.is_alive():
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
    return code


async def _ended(*parts: "asyncio.Future[Any]") -> None:
    for part in parts:
        part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)
