"""Executor: run the task's code for each assignment, and make its outcome.

An ``async def`` runs as a task of the event loop, a plain ``def`` on a thread. Nothing that user code raises ends the
worker. A run that was told to stop has no outcome but the one its stopping calls for: none where it was cancelled or
lost, ``HandedBack`` where the worker leaves, ``Unloaded`` where it is to wait without one, ``Ended`` where its time is
used up. A plain function cannot be interrupted: it keeps its place until it returns or calls oncue again.

Life of a run, this module's part::

    worker/poller -> start -> user code -> Outcome -> worker/reporter
"""

import asyncio
import contextvars
import datetime
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from oncue import telemetry
from oncue.protocol.errors import RunStopped
from oncue.protocol.failures import shown
from oncue.protocol.work import Assignment, Ended, Failed, HandedBack, Outcome, OutOfMemory, Unloaded
from oncue.sdk import execution
from oncue.sdk.task import Task
from oncue.worker import arguments, documents, lifecycle, outcomes
from oncue.worker.base_execution import Stop
from oncue.worker.isolation import isolated
from oncue.worker.isolation.warm import WarmProcess
from oncue.worker.places import Places
from oncue.worker.runs import HeldRun, Session
from oncue.worker.threads import Threads
from oncue.worker.time_limit import TimeLimit

_ONE_MS: Final = datetime.timedelta(milliseconds=1)


class Report(Protocol):
    """Who takes outcomes; see ``Reporter.add``."""

    def __call__(self, outcome: Outcome | None, after: Coroutine[Any, Any, None] | None = None, /) -> None:
        """Take an outcome."""


class Executor:
    """The runs that this process holds; to be used on its event loop only."""

    def __init__(
        self,
        tasks: Mapping[str, Task[Any, Any]],
        places: Places,
        threads: Threads,
        processes: WarmProcess,
        report: Report,
    ) -> None:
        """Hold no run yet.

        Args:
            tasks: What can be run, by id.
            places: How many at once.
            threads: For plain functions.
            processes: For isolated runs.
            report: Takes each outcome, and what has to be done before it is delivered.
        """
        self._tasks = tasks
        self._places = places
        self._threads = threads
        self._processes = processes
        self._report = report
        self.runs: dict[str, HeldRun] = {}
        """What is held, by run id: executing, parked or in line for a place."""
        self.emptied = asyncio.Event()
        """Set whenever the last run has ended."""

    def start(self, assignments: Iterable[Assignment], session: Session) -> None:
        """Execute runs, now or as soon as there are places."""
        before = execution.current.get()
        try:
            for assignment in assignments:
                if not self._is_news(assignment):
                    continue
                task = self._tasks.get(assignment.task)
                run = HeldRun(_limited(assignment, task), task, session)
                self.runs[run.run_id] = run
                if self._places.take():
                    self._begin(run)
                else:
                    self._places.start_when_free(functools.partial(self._begin_in_turn, run))
        finally:
            execution.current.set(before)

    def stop(self, run: HeldRun, stopped: Stop) -> None:
        """Tell a run to stop; one that was told before, or has ended, is left alone."""
        if run.is_over:
            return
        run.interrupt(stopped)
        if stopped is Stop.OUT_OF_TIME:
            limit_ms = run.context.run.max_duration
            assert limit_ms is not None
            ms = round(limit_ms.total_seconds() * 1000)
            self._report(outcomes.out_of_time(run.run_id, run.epoch, run.ran_ms(), ms), run.unsent_metadata())
        if run.future is not None:
            # A coroutine that is cancelled before its first step never runs, and so cannot finish the run itself.
            run.future.add_done_callback(lambda _: self._finish(run, None))
        if not run.has_begun:
            self._finish(run, None)

    def stop_all(self, stopped: Stop) -> int:
        """Tell every run to stop; return how many were told."""
        told = [run for run in self.runs.values() if not run.is_over]
        for run in told:
            self.stop(run, stopped)
        return len(told)

    def abandon(self) -> int:
        """Hand back what has not ended although it was told to, and forget it; return how many those were."""
        left = list(self.runs.values())
        for run in left:
            self._finish(run, None)
        return len(left)

    def _is_news(self, assignment: Assignment) -> bool:
        """Return whether an assignment is to be executed; an older execution of the same run is stopped for it."""
        held = self.runs.get(assignment.run_id)
        if held is None:
            return True
        if held.epoch >= assignment.epoch:
            return False
        self.stop(held, Stop.LOST)
        return True

    def _begin_in_turn(self, run: HeldRun) -> bool:
        if run.is_over:
            return False
        before = execution.current.set(run)
        self._begin(run)
        execution.current.reset(before)
        return True

    def _begin(self, run: HeldRun) -> None:
        """Start a run that has just got a place. Sets ``current``, which the caller puts back."""
        task, assignment = run.task, run.assignment
        if task is None:
            telemetry.event("task.unknown", task=run.task_id, run_id=run.run_id)
            run.begin()
            self._finish(run, HandedBack(run.run_id, run.epoch))
            return
        if assignment.max_duration_ms is not None:
            run.limit = TimeLimit(
                run.session.loop, assignment.max_duration_ms, functools.partial(self.stop, run, Stop.OUT_OF_TIME)
            )
        run.begin()
        if telemetry.is_heard("attempt.started"):
            telemetry.event("attempt.started", task=run.task_id, run_id=run.run_id)
        if run.machine is not None:
            run.session.waiting.has_process(run)
            run.future = run.session.loop.create_task(self._drive_process(run, assignment))
            return
        if documents.is_apart(assignment):
            run.future = run.session.loop.create_task(self._fetch(run, task, assignment))
        else:
            self._call(run, task, assignment)

    async def _fetch(self, run: HeldRun, task: Task[Any, Any], assignment: Assignment) -> None:
        try:
            assignment = await documents.fetched(run, assignment)
        except RunStopped:
            # Whoever told it so sees to its end.
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay with a worker that is done with it
            self._finish(run, documents.not_fetched(run, error))
            return
        run.future = None
        self._call(run, task, assignment)

    def _call(self, run: HeldRun, task: Task[Any, Any], assignment: Assignment) -> None:
        """Call a task with a payload that is at hand. Sets ``current``, which the caller puts back."""
        execution.current.set(run)
        try:
            parameters = arguments.read(run, task, assignment)
        except Exception as error:  # noqa: BLE001 - an annotation's own code may raise anything
            self._finish(run, arguments.not_read(run, error))
            return
        function = lifecycle.around(run, task, parameters)
        if task.is_async:
            run.future = run.session.loop.create_task(self._drive(run, function, parameters))
        else:
            # Each run has a context of its own, as asyncio gives one to each of its tasks.
            context = contextvars.copy_context()
            code = functools.partial(context.run, function, *parameters)
            self._threads.submit(*_on_thread(run, code, self._finish))

    async def _drive(self, run: HeldRun, function: Callable[..., Awaitable[Any]], parameters: tuple[Any, ...]) -> None:
        try:
            code = function(*parameters)
            # A run may be parked for days; its payload lives as long as the task's own code wants it.
            del parameters
            value = await code
            outcome = await documents.stored(run, outcomes.returned(run.run_id, run.epoch, run.ran_ms(), value))
        except BaseException as error:  # noqa: BLE001 - nothing that user code raises may end the worker
            outcome = outcomes.raised(run.run_id, run.epoch, run.ran_ms(), error)
        self._finish(run, outcome)

    async def _drive_process(self, run: HeldRun, assignment: Assignment) -> None:
        begun = isolated.execute(run, assignment, self._processes)
        # A run may be parked for days, and its process has the payload.
        del assignment
        outcome: Outcome | None = None
        try:
            outcome = await begun
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay with a worker that is done with it
            outcome = isolated.failed(run, "TASK_PROCESS_LOST", error)
        self._finish(run, outcome)

    def _finish(self, run: HeldRun, outcome: Outcome | None) -> None:
        if run.is_done:
            return
        run.is_done = True
        run.give_up_waits()
        if run.limit is not None:
            run.limit.pause()
        if run.has_begun and telemetry.is_heard("attempt.ended"):
            _tell_end(run, outcome)
        # A newer execution of the same run may have taken its place in the table.
        if self.runs.get(run.run_id) is run:
            del self.runs[run.run_id]
        if run.has_place:
            run.has_place = False
            self._places.give_back()
        else:
            run.session.waiting.forget(run)
        if run.machine is not None:
            run.session.waiting.has_none(run)
        if run.stopped is not Stop.LOST:
            self._report(_to_report(run, outcome), run.unsent_metadata())
        if not self.runs:
            self.emptied.set()


def _limited(assignment: Assignment, task: Task[Any, Any] | None) -> Assignment:
    """Add the time limit that the task declares, where the run has none of its own."""
    if task is None or task.max_duration is None or assignment.max_duration_ms is not None:
        return assignment
    return msgspec.structs.replace(assignment, max_duration_ms=task.max_duration // _ONE_MS)


def _on_thread(
    run: HeldRun, code: Callable[[], Any], finish: Callable[[HeldRun, Outcome | None], None]
) -> tuple[Callable[[], object], Callable[[], None]]:
    """Return what to call on the thread, and what to call on the loop after it."""
    made: list[Outcome] = []

    def call() -> None:
        try:
            value = code()
            outcome = outcomes.returned(run.run_id, run.epoch, run.ran_ms(), value)
            made.append(documents.stored_blocking(run, outcome))
        except BaseException as error:  # noqa: BLE001 - nothing that user code raises may end the worker
            made.append(outcomes.raised(run.run_id, run.epoch, run.ran_ms(), error))

    return call, lambda: finish(run, made[0])


def _to_report(run: HeldRun, outcome: Outcome | None) -> Outcome | None:
    match run.stopped:
        case None:
            return outcome
        case Stop.HANDED_BACK:
            return HandedBack(run.run_id, run.epoch)
        case Stop.UNLOADED:
            return Unloaded(run.run_id, run.epoch, run.ran_ms(), run.waits_for)
        case _:
            # Its end is known, or told by somebody else.
            return None


def _tell_end(run: HeldRun, outcome: Outcome | None) -> None:
    error: str | None = None
    match outcome:
        case _ if run.stopped is not None:
            how = run.stopped.name.lower()
        case Failed(error=found) | Ended(error=found) | OutOfMemory(error=found):
            how, error = "failed", str(shown(found))
        case HandedBack():
            how = "handed_back"
        case _:
            how = "succeeded"
    telemetry.event("attempt.ended", task=run.task_id, run_id=run.run_id, ran_ms=run.ran_ms(), outcome=how, error=error)
