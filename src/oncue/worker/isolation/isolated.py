"""Isolated: execute a run in a process of its own, and do for it what it asks.

Life of a run, this module's part::

    worker/executor -> isolated.execute -> process -> user code -> Done -> Outcome -> worker/reporter
"""

import asyncio
import contextlib
from typing import Any, Final

import msgspec

from oncue import telemetry
from oncue.protocol import failures
from oncue.protocol.errors import BatchTriggerError, RunStopped
from oncue.protocol.failures import InternalError
from oncue.protocol.machines import SIZES
from oncue.protocol.work import Assignment, ChildFailed, ChildSucceeded, Failed, Outcome, WaitpointSettled
from oncue.worker.base_execution import Stop
from oncue.worker.isolation import deaths
from oncue.worker.isolation.messages import (
    LENGTH,
    Ask,
    Begin,
    BranchEnded,
    Counting,
    Done,
    FromProcess,
    Line,
    Reply,
    Settled,
    StopNow,
    ToProcess,
    WaitFor,
    framed,
)
from oncue.worker.isolation.warm import IsolationFailed, RunProcess, WarmProcess
from oncue.worker.runs import HeldRun

KILL_AFTER_S: Final = 5.0
"""How long code that was told to stop may go on: to clean up, or because it does not listen."""

_LAST_WORDS_S: Final = 0.2
"""How long what a process said before its death may be on its way: what it started may still hold the connection."""

_decode: Final = msgspec.json.Decoder(FromProcess).decode


async def execute(run: HeldRun, assignment: Assignment, processes: WarmProcess) -> Outcome | None:
    """Execute a run; return what became of it, nothing where it was told to stop.

    Cancelled, it tells the process so, and kills it if it has not ended in ``KILL_AFTER_S``.
    """
    machine = assignment.machine
    try:
        process = await processes.fork(SIZES[machine])
    except IsolationFailed as error:
        return failed(run, "TASK_PROCESS_COULD_NOT_START", error)
    begin = Begin(assignment, run.session.worker_id, run.session.environment, machine)
    del assignment
    # What parks keeps no payload: the process has it.
    _ = run.context
    serving = _Serving(run, process)
    served = asyncio.ensure_future(serving.serve(begin))
    del begin
    try:
        outcome = await asyncio.shield(served)
    except IsolationFailed as error:
        return failed(run, "TASK_PROCESS_LOST", error)
    except asyncio.CancelledError:
        serving.tell_stop()
        await _stopped(run, process, served)
        raise
    finally:
        process.kill()
    return None if outcome is None else _completed(run, outcome, machine)


async def _stopped(run: HeldRun, process: RunProcess, served: "asyncio.Future[Outcome | None]") -> None:
    """Wait for a process that has been told to stop, and kill it in the end."""
    try:
        with contextlib.suppress(asyncio.CancelledError, IsolationFailed):
            async with asyncio.timeout(KILL_AFTER_S):
                await asyncio.shield(served)
    except TimeoutError:
        reason = (run.stopped or Stop.HANDED_BACK).value
        telemetry.event("process.killed", run_id=run.run_id, task=run.task_id, pid=process.pid, reason=reason)
    process.kill()
    if not served.done():
        served.cancel()
        await asyncio.gather(served, return_exceptions=True)


def _completed(run: HeldRun, outcome: Outcome, machine: str) -> Outcome:
    if isinstance(outcome, Failed):
        outcome = deaths.refused_memory(outcome, machine)
    # A run that is handed back has used nothing.
    return msgspec.structs.replace(outcome, ran_ms=run.ran_ms()) if hasattr(outcome, "ran_ms") else outcome


def failed(run: HeldRun, code: str, error: Exception) -> Failed:
    """Say that a run's process failed it: another attempt may have a better one."""
    return Failed(run.run_id, run.epoch, run.ran_ms(), InternalError(code, failures.clipped(str(error))))


class _Serving:
    """What a process has asked for and is not answered yet."""

    def __init__(self, run: HeldRun, process: RunProcess) -> None:
        self._run = run
        self._process = process
        self._waits: set[asyncio.Task[None]] = set()
        self._branches: dict[int, asyncio.Future[None]] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, begin: Begin) -> Outcome | None:
        """Do what the process asks until its run or its life has ended; return what became of the run."""
        process = self._process
        reader, self._writer = await asyncio.open_connection(sock=process.connection)
        await process.output.read()
        machine = begin.machine
        self._send(begin)
        # The process has the payload, and may wait for days.
        del begin
        self.tell_stop()
        said = asyncio.ensure_future(self._listen(reader))
        try:
            await asyncio.wait((said, process.gone), return_when=asyncio.FIRST_COMPLETED)
            if not said.done():
                await asyncio.wait((said,), timeout=_LAST_WORDS_S)
            if said.done() and (done := said.result()) is not None:
                return done.outcome
            gone = await process.gone
            await process.output.until_ended(_LAST_WORDS_S)
            return deaths.outcome_of(
                self._run.run_id,
                self._run.epoch,
                code=gone.code,
                out_of_memory=gone.out_of_memory,
                machine=machine,
                last_lines=process.output.last_lines(),
            )
        finally:
            for part in (said, *self._waits):
                part.cancel()
            self._writer.close()
            process.output.close()

    def tell_stop(self) -> None:
        """Tell the process that its run must not go on, where that is so and the process is there."""
        if self._writer is not None and self._run.stopped is not None:
            self._send(StopNow(self._run.stopped.name))

    def _send(self, message: ToProcess) -> None:
        assert self._writer is not None
        self._writer.write(framed(message))

    async def _listen(self, reader: asyncio.StreamReader) -> Done | None:
        """Hear the process out; return its last word, nothing where it died without one."""
        while True:
            try:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                message = _decode(await reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if isinstance(message, Done):
                return message
            self._do(message)

    def _do(self, message: Ask | Line | WaitFor | BranchEnded | Counting) -> None:
        run = self._run
        match message:
            case Ask(kind=kind, task=task, key=key):
                try:
                    name = run.call_key(kind, task, key)
                except RunStopped:
                    name = None
                self._send(Reply(name))
            case Line(level=level, message=text, fields=fields):
                run.log(level, text, fields)
            case WaitFor(branch=branch):
                # Now: the news that the branch has ended may come with the same read.
                standing = self._branches.setdefault(branch, run.loop.create_future())
                wait = asyncio.ensure_future(self._wait(message, standing))
                self._waits.add(wait)
                wait.add_done_callback(self._waits.discard)
            case Counting(counts=counts):
                if counts:
                    run.go_on()
                else:
                    run.stand_still()
            case BranchEnded(branch=branch):
                ended = self._branches.pop(branch, None)
                if ended is not None:
                    ended.set_result(None)

    async def _wait(self, wanted: WaitFor, branch: "asyncio.Future[None]") -> None:
        run = self._run
        if run.is_over:
            return
        try:
            with run.staying() if wanted.stays else contextlib.nullcontext():
                result: Any = await run.begin_wait(wanted.target, branch)
        except BatchTriggerError as error:
            self._send(Settled(number=wanted.number, given_up=str(error), item_count=error.item_count))
            return
        match result:
            case ChildSucceeded() | ChildFailed():
                self._send(Settled(number=wanted.number, child=result))
            case WaitpointSettled():
                self._send(Settled(number=wanted.number, waitpoint=result))
            case _:
                self._send(Settled(number=wanted.number, children=result))
