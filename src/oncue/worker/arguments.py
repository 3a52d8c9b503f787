"""Arguments: what a task's function is called with.

Life of a run, this module's part::

    Assignment -> arguments.read -> worker/lifecycle.around -> the task's function
"""

from typing import Any, Final

from oncue.protocol.errors import PayloadValidationError
from oncue.protocol.work import Assignment, Outcome
from oncue.sdk.context import local_context
from oncue.sdk.task import Task
from oncue.worker import outcomes
from oncue.worker.base_execution import BaseExecution

_NO_CONTEXT: Final = local_context("none", None, "none")
"""For tasks that take none, and never see it."""


def read(run: BaseExecution, task: Task[Any, Any], assignment: Assignment) -> tuple[Any, ...]:
    """Return the arguments: none, the payload, or the payload and the context.

    Raises:
        Exception: The payload does not fit; an annotation's own code may raise anything.
    """
    # A context costs more than the rest of the start, and most tasks take none.
    context = run.context if task.parameters == 2 else _NO_CONTEXT  # noqa: PLR2004 - (payload, ctx)
    return task.arguments(assignment.payload, assignment.payload_type, context)


def not_read(run: BaseExecution, error: Exception) -> Outcome:
    """Return the outcome of a run whose arguments cannot be read."""
    if not isinstance(error, PayloadValidationError):
        error = PayloadValidationError(f"the payload of task {run.task_id!r} cannot be read: {error}")
    return outcomes.raised(run.run_id, run.epoch, 0, error)
