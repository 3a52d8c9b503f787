"""Triggering: from the arguments of one call to its run.

Everything that can be refused here is refused when the function is called, before any request; what needs the server
is a flow.

Life of a run, this module's part::

    task.trigger | tasks.trigger -> triggering.trigger -> requests.trigger -> transport
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from oncue.protocol import codec, failures, ids, limits
from oncue.protocol.errors import PayloadValidationError
from oncue.protocol.triggers import TriggerOptions, TriggerRequest
from oncue.protocol.work import ChildFailed, ChildResult, ChildSucceeded
from oncue.sdk import flows, inside, option_values, packets, requests
from oncue.sdk.callee import Callee
from oncue.sdk.execution import Execution
from oncue.sdk.flows import Flow, Park
from oncue.sdk.handles import RunHandle
from oncue.sdk.missing import MISSING
from oncue.sdk.results import AnyResult, Failed, Ok


class Target(NamedTuple):
    """The task of a call."""

    id: str
    task: Callee | None = None
    """The task itself, where it is at hand."""


def target(task_id: object) -> Target:
    """Return the target that a task's id names.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty or too long.
    """
    if not isinstance(task_id, str):
        raise TypeError(f"{task_id!r} is not a task's id; expected a string, or call the task's own method")
    if not 0 < len(task_id) <= limits.MAX_TASK_ID_LENGTH:
        raise ValueError(
            f"task id {task_id[:80]!r} is not accepted; expected 1 to {limits.MAX_TASK_ID_LENGTH} characters"
        )
    return Target(task_id)


def trigger(to: Target, payload: object, options: Mapping[str, Any]) -> Flow[RunHandle[Any]]:
    """Make a run and go on.

    Raises:
        PayloadValidationError: The payload does not fit, or has no JSON form.
        TypeError: There is no such option.
        ValueError: An option's value makes no sense.
    """
    request = _request(to, payload, options)
    lineage = inside.lineage("trigger", to.id, request.options.idempotency_key)
    return _trigger(to, _sent_from(request, lineage, waits=False))


def trigger_and_wait(to: Target, payload: object, options: Mapping[str, Any], *, blocking: bool) -> Flow[AnyResult]:
    """Make a run and wait for its end, inside a run.

    Args:
        to: The task.
        payload: As for ``trigger``.
        options: As for ``trigger``.
        blocking: Whether it was called through ``.sync``.

    Raises:
        OutsideTaskError: No run is executing here.
        PayloadValidationError: The payload does not fit, or has no JSON form.
    """
    parent = inside.parent("trigger_and_wait", blocking=blocking)
    request = _request(to, payload, options)
    lineage = inside.lineage("wait", to.id, request.options.idempotency_key)
    return _trigger_and_wait(to, _sent_from(request, lineage, waits=True), parent)


def document(to: Target, payload: object) -> msgspec.Raw:
    """Write a payload as JSON, checked against the task's annotation where the task is at hand.

    Raises:
        PayloadValidationError: It does not fit, or has no JSON form.
    """
    if to.task is not None:
        return to.task.encode_payload(payload)
    if payload is MISSING:
        return codec.NOTHING
    return encoded(payload, f"task {to.id!r}")


def encoded(payload: object, of: str) -> msgspec.Raw:
    """Write a payload as JSON; ``of`` says in a refusal whose it is.

    Raises:
        PayloadValidationError: It has no JSON form.
    """
    try:
        return msgspec.Raw(codec.encode(payload))
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadValidationError(f"the payload for {of} cannot be written as JSON: {error}") from error


def wire_options(to: Target, options: Mapping[str, Any]) -> TriggerOptions:
    """Return the options of a call as the wire has them, with what the task itself and the current run add."""
    fields = option_values.read(options)
    if "queue" not in fields and to.task is not None and to.task.queue is not None:
        # The name alone: the limit that counts is the one that the worker announced or an operator set.
        fields["queue"] = to.task.queue.name
    return TriggerOptions(test=inside.is_test(), **fields)


def settled(child: ChildResult, task: Callee | None) -> AnyResult:
    """Return the result of a child that has ended, its output, at hand by now, read as the task annotates it."""
    match child:
        case ChildSucceeded(id=run_id, task=task_id, output=output, output_type=type_):
            content = bytes(output) or b"null"
            value = codec.restore(content, type_) if task is None else task.read_output(content, type_)
            return Ok(run_id, task_id, value)
        case ChildFailed(id=run_id, task=task_id, error=error):
            return Failed(run_id, task_id, failures.shown(error))


def _request(to: Target, payload: object, options: Mapping[str, Any]) -> TriggerRequest:
    return TriggerRequest(document(to, payload), wire_options(to, options))


def _sent_from(request: TriggerRequest, lineage: Mapping[str, Any], *, waits: bool) -> TriggerRequest:
    """Add the run's id, minted here so that a repetition makes no second run, and what calls it."""
    options = msgspec.structs.replace(
        request.options, run_id=ids.new_run_id(), resume_parent_on_completion=waits, **lineage
    )
    return TriggerRequest(request.payload, options)


def _sent(to: Target, request: TriggerRequest) -> Flow[requests.TriggerAnswer]:
    light = yield from packets.lightened(request)
    return (yield from flows.exchange(requests.trigger(to.id, light)))


def _trigger(to: Target, request: TriggerRequest) -> Flow[RunHandle[Any]]:
    response, token = yield from _sent(to, request)
    if response.payload_differs:
        inside.note_difference(to.id, response.id)
    read_output = None if to.task is None else to.task.read_output
    return RunHandle(response.id, to.id, response.is_cached, public_access_token=token, read_output=read_output)


def _trigger_and_wait(to: Target, request: TriggerRequest, parent: Execution) -> Flow[AnyResult]:
    answer = yield from _sent(to, request)
    run_id = answer.response.id
    differs = answer.response.payload_differs
    # The request holds the payload, and the run may be parked for days.
    del answer, request
    child: ChildResult = yield Park(parent, partial(parent.wait_for_run, run_id))
    # Only now: the server has the run parked until its wait is over.
    if differs:
        parent.note_difference(to.id, run_id)
    (opened,) = yield from packets.opened([child])
    return settled(opened, to.task)
