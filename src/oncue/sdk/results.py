"""Results: how a run that was waited for ended.

Taken apart with ``match``: ``Ok`` holds the output, ``Failed`` the error.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

from oncue.protocol.errors import SubtaskUnwrapError
from oncue.protocol.failures import ShownError

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")
Runs_co = TypeVar("Runs_co", covariant=True)


@dataclass(frozen=True)
class Ok(Generic[R_co]):
    """The run returned.

    Example::

        match await child.trigger_and_wait(payload):
            case Ok(output=output):
                print(output)
            case Failed(error=error):
                print(error.message)
    """

    id: str
    """The run's id."""
    task_identifier: str
    output: R_co
    ok: Literal[True] = field(default=True, init=False, repr=False)

    def unwrap(self) -> R_co:
        """Return the output."""
        return self.output


@dataclass(frozen=True)
class Failed:
    """The run ended otherwise: it failed, was cancelled, expired or crashed."""

    id: str
    """The run's id."""
    task_identifier: str
    error: ShownError
    ok: Literal[False] = field(default=False, init=False, repr=False)

    def unwrap(self) -> NoReturn:
        """Raise, since there is no output.

        Raises:
            SubtaskUnwrapError: Always; holds the run's id, its task and its error.
        """
        raise SubtaskUnwrapError(self.id, self.task_identifier, self.error)


Result: TypeAlias = Ok[R] | Failed
AnyResult: TypeAlias = Ok[Any] | Failed
ReadOutput: TypeAlias = Callable[[bytes, str], Any]
"""Reads an output; takes the document and its type."""


@dataclass(frozen=True)
class BatchResult(Generic[Runs_co]):
    """How the runs of a batch ended.

    Example::

        results = await child.batch_trigger_and_wait([item(1), item(2)])
        outputs = [run.unwrap() for run in results.runs]
    """

    id: str
    """The batch's id."""
    runs: Runs_co
    """Results in item order; typed by position where the items were a tuple of tasks."""
