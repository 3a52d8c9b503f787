"""Documents: a run's large payload, fetched before its code is called, and its large output, stored after.

A server or an object store that is away, or takes nothing, is waited for, as it is with every outcome: what the run has
done is not done again because of it. Whatever else is refused fails the run.

Life of a run, this module's part::

    Assignment -> fetched -> worker/arguments         outcomes.returned -> stored -> worker/reporter
"""

from collections.abc import Callable
from typing import Final, TypeGuard, TypeVar

import msgspec

from oncue.protocol import codec, failures
from oncue.protocol.errors import (
    ApiError,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    Unauthorized,
)
from oncue.protocol.failures import InternalError
from oncue.protocol.packets import reference
from oncue.protocol.work import Assignment, Failed, Outcome, Succeeded
from oncue.sdk import packets, transport
from oncue.sdk.flows import Flow, Sleep
from oncue.worker import outcomes
from oncue.worker.base_execution import BaseExecution
from oncue.worker.outage import Outage

T = TypeVar("T")

_AWAY: Final = (ConnectionFailed, ServerError, RateLimited)
_NOT_TAKEN: Final = (*_AWAY, NotFound, PermissionDenied, Unauthorized)
"""No bucket, or no right to write there, is the operator's to mend; the run has done its work."""


def is_apart(assignment: Assignment) -> bool:
    """Whether a run's payload is yet to be fetched."""
    return assignment.payload_type == codec.STORE


async def fetched(run: BaseExecution, assignment: Assignment) -> Assignment:
    """Return an assignment with its payload.

    Raises:
        ApiError: There is no such document.
        RunStopped: The run was told to stop meanwhile.
    """
    if not is_apart(assignment):
        return assignment
    return await transport.start(_fetched(run, assignment), "fetched")


def fetched_blocking(run: BaseExecution, assignment: Assignment) -> Assignment:
    """Return an assignment with its payload, on a thread of its own; errors as for ``fetched``."""
    return transport.run(_fetched(run, assignment)) if is_apart(assignment) else assignment


def not_fetched(run: BaseExecution, error: Exception) -> Failed:
    """Return the outcome of a run whose payload is not to be had: another attempt may have it."""
    message = f"the payload could not be fetched: {error}"
    return Failed(run.run_id, run.epoch, 0, InternalError("PAYLOAD_NOT_FETCHED", failures.clipped(message)))


async def stored(run: BaseExecution, outcome: Outcome) -> Outcome:
    """Return an outcome whose output is small enough to be reported; a failure where it is larger than one may be.

    Raises:
        RunStopped: The run was told to stop meanwhile.
    """
    return await transport.start(_stored(run, outcome), "stored") if _is_large(outcome) else outcome


def stored_blocking(run: BaseExecution, outcome: Outcome) -> Outcome:
    """Return an outcome as ``stored`` does, on a thread of its own."""
    return transport.run(_stored(run, outcome)) if _is_large(outcome) else outcome


def _is_large(outcome: Outcome) -> TypeGuard[Succeeded]:
    return isinstance(outcome, Succeeded) and packets.is_large(outcome.output)


def _fetched(run: BaseExecution, assignment: Assignment) -> Flow[Assignment]:
    run.stand_still()
    payload, type_ = yield from _until_there(run, lambda: packets.fetched(assignment.payload), _AWAY)
    run.go_on()
    return msgspec.structs.replace(assignment, payload=payload, payload_type=type_)


def _stored(run: BaseExecution, outcome: Succeeded) -> Flow[Outcome]:
    run.stand_still()
    # Not by its content, which takes long to read for a hundred megabytes.
    name = f"runs/{run.run_id}/{run.epoch}/output.json"
    try:
        path = yield from _until_there(
            run, lambda: packets.stored(outcome.output, outcome.output_type, "output", name), _NOT_TAKEN
        )
    except ApiError as error:
        refused = outcomes.refused_by_server(outcome, error)
        assert refused is not None
        return refused
    return msgspec.structs.replace(outcome, output=reference(path), output_type=codec.STORE)


def _until_there(run: BaseExecution, begin: Callable[[], Flow[T]], passing: tuple[type[ApiError], ...]) -> Flow[T]:
    """Carry a flow out, from its start again and again while it fails for a reason that may pass."""
    outage = Outage("document.held_up")
    while True:
        run.check()
        try:
            return (yield from begin())
        except passing as error:
            yield Sleep(outage.failed(error, run_id=run.run_id, task=run.task_id))
