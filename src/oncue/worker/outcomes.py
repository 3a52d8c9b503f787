"""Outcomes: what a task returned or raised, as the server is told.

Decides whether a failure may be retried and when the task itself wants that; whether it is retried is the server's
to say. Pure, so that threads may call it.

Life of a run, this module's part::

    user code -> value or exception -> Outcome -> worker/reporter
"""

import datetime
import traceback
from types import TracebackType
from typing import Final

import msgspec

from oncue.protocol import codec, durations, failures
from oncue.protocol.errors import AbortRun, BatchTriggerError, PayloadValidationError, RateLimited, RetryAfter
from oncue.protocol.failures import BuiltInError, InternalError
from oncue.protocol.work import Ended, Failed, HandedBack, Outcome, OutOfMemory, Succeeded, Unloaded

_LIFECYCLE: Final = "oncue.worker.lifecycle"
_ONE_MS: Final = datetime.timedelta(milliseconds=1)


def returned(run_id: str, epoch: int, ran_ms: int, value: object) -> Outcome:
    """Say that the task returned; an output that cannot be stored is a failure without a retry."""
    if value is None:
        return Succeeded(run_id, epoch, ran_ms)
    try:
        output = codec.encode(value)
    except Exception as error:  # noqa: BLE001 - the value may bring code of its own, which may raise anything
        message = f"the output cannot be stored: {_text(error)}"
        return _refused(run_id, epoch, ran_ms, type(error).__name__, message)
    return Succeeded(run_id, epoch, ran_ms, msgspec.Raw(output))


def raised(run_id: str, epoch: int, ran_ms: int, error: BaseException) -> Failed:
    """Say that the task raised.

    Args:
        run_id: The run.
        epoch: Its epoch.
        ran_ms: Compute time in milliseconds.
        error: With the caller's own frame outermost in its traceback; that one is left out.
    """
    message = _text(error)
    retry_after_ms = None
    match error:
        case RetryAfter():
            try:
                retry_after_ms = durations.read(error.delay, "delay") // _ONE_MS
            except ValueError as bad:
                message = f"{message} ({bad})"
        case BatchTriggerError(is_rate_limited=True):
            retry_after_ms = _ahead(error.retry_after_ms)
        case RateLimited(reset_at=datetime.datetime() as reset_at):
            retry_after_ms = _ahead((reset_at - datetime.datetime.now(datetime.UTC)) // _ONE_MS)
        case _:
            pass
    return Failed(
        run_id,
        epoch,
        ran_ms,
        BuiltInError(type(error).__name__, failures.clipped(message), _trace(error)),
        retryable=not isinstance(error, AbortRun | PayloadValidationError),
        retry_after_ms=retry_after_ms,
    )


def out_of_time(run_id: str, epoch: int, ran_ms: int, limit_ms: int) -> Ended:
    """Say that the run used up its compute time."""
    message = f"the run has used its max_duration of {limit_ms / 1000:g} s of compute time"
    return Ended(run_id, epoch, ran_ms, "TIMED_OUT", InternalError("MAX_DURATION_EXCEEDED", message))


def refused_by_server(outcome: Outcome, error: Exception) -> Outcome | None:
    """Return what to report in place of an outcome that the server will not take; None where nothing is left.

    A run must not stay with a worker that is done with it: an output becomes a failure, a failure a plainer one, and
    in the end the run is handed back.
    """
    match outcome:
        case Succeeded():
            message = f"the server did not take the output: {_text(error)}"
            return _refused(outcome.run_id, outcome.epoch, outcome.ran_ms, type(error).__name__, message)
        case Failed(error=InternalError()) | Ended() | OutOfMemory():
            return HandedBack(outcome.run_id, outcome.epoch)
        case Failed():
            refusal = InternalError("OUTCOME_REFUSED", failures.clipped(f"the server did not take it: {_text(error)}"))
            return Failed(outcome.run_id, outcome.epoch, 0, refusal, retryable=False)
        case HandedBack():
            return None
        case Unloaded():
            return HandedBack(outcome.run_id, outcome.epoch)


def _ahead(wait_ms: int | None) -> int | None:
    """Return a wait until a moment; None where that is past, by a clock that differs: the task's own pauses hold."""
    return wait_ms if wait_ms is not None and wait_ms > 0 else None


def _refused(run_id: str, epoch: int, ran_ms: int, name: str, message: str) -> Failed:
    return Failed(run_id, epoch, ran_ms, BuiltInError(name, failures.clipped(message)), retryable=False)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception's own __str__ may raise anything
        return f"(a {type(error).__name__} that cannot be shown)"


def _trace(error: BaseException) -> str:
    """Return the traceback from the user's code on, without the worker's frames above it."""
    outermost = error.__traceback__
    below: TracebackType | None = None if outermost is None else outermost.tb_next
    while below is not None and below.tb_frame.f_globals.get("__name__") == _LIFECYCLE:
        below = below.tb_next
    if below is None and error.__cause__ is None:
        return ""
    try:
        lines = traceback.format_exception(type(error), error, below)
    except Exception:  # noqa: BLE001 - formatting shows exceptions, whose own code may raise anything
        lines = traceback.format_tb(below)
    return failures.clipped("".join(lines))
