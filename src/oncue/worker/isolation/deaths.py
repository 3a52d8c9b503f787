"""Deaths: what it means that the process of a run has ended before the run did."""

import signal
from typing import Final

from oncue.protocol import failures
from oncue.protocol.failures import BuiltInError, InternalError
from oncue.protocol.machines import SIZES
from oncue.protocol.work import Ended, Failed, Outcome, OutOfMemory

_OUT_OF_MEMORY: Final = "TASK_PROCESS_OOM_KILLED"


def outcome_of(run_id: str, epoch: int, *, code: int, out_of_memory: bool, machine: str, last_lines: str) -> Outcome:
    """Return what became of a run whose process has died.

    Args:
        run_id: The run.
        epoch: Its epoch.
        code: The process's exit code, or the number of the signal that ended it, negative.
        out_of_memory: It was ended for its memory.
        machine: What it was held to.
        last_lines: The end of what it printed.
    """
    printed = f"; its last output:\n{last_lines}" if last_lines else "; it printed nothing"
    if out_of_memory:
        return OutOfMemory(run_id, epoch, 0, _error(_OUT_OF_MEMORY, _too_much(machine) + printed))
    if code == -signal.SIGKILL:
        why = "the task's process was killed (SIGKILL), as the system does where memory is short"
        return Ended(run_id, epoch, 0, "CRASHED", _error("TASK_PROCESS_MAYBE_OOM_KILLED", why + printed))
    if code < 0:
        why = f"the task's process was ended by {_signal(-code)}"
        return Ended(run_id, epoch, 0, "CRASHED", _error("TASK_PROCESS_KILLED_BY_SIGNAL", why + printed))
    why = f"the task's process exited with code {code} before the task returned"
    return Ended(run_id, epoch, 0, "CRASHED", _error("TASK_PROCESS_EXITED", why + printed))


def refused_memory(outcome: Failed, machine: str) -> Outcome:
    """Return a failed run's outcome; a ``MemoryError`` says that the machine was too small."""
    error = outcome.error
    if not isinstance(error, BuiltInError) or error.name != "MemoryError":
        return outcome
    told = InternalError(_OUT_OF_MEMORY, f"{_too_much(machine)}: it was refused more", error.stack_trace)
    return OutOfMemory(outcome.run_id, outcome.epoch, outcome.ran_ms, told)


def _too_much(machine: str) -> str:
    return f"the task's process used up the memory of machine {machine} ({SIZES[machine]})"


def _error(code: str, message: str) -> InternalError:
    return InternalError(code, failures.clipped(message))


def _signal(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({signal.strsignal(number)})"
    except ValueError:
        return f"signal {number}"
