"""States: every move that a run can make, and no other.

The table is the law. A move is one statement that repeats the status it expects; the statement names its moves in a
``Moves:`` line, and a test holds both together. ``docs/explanation/run-states.md`` is drawn from here.

Life of a run, this module's part::

    (new) -> DELAYED | PENDING_VERSION | PENDING -> EXECUTING <-> WAITING_TO_RESUME -> (final)
                                             ^---- RETRYING_AFTER_FAILURE <---'
"""

from typing import Final

from oncue.protocol.status import FinalStatus, LiveStatus, StoredStatus

_FROM_OUTSIDE: Final[frozenset[StoredStatus]] = frozenset({"CANCELED", "CRASHED"})
_BY_WORKER: Final[frozenset[StoredStatus]] = frozenset(
    {"COMPLETED_SUCCESSFULLY", "COMPLETED_WITH_ERRORS", "CRASHED", "TIMED_OUT"}
)

BIRTHS: Final[frozenset[LiveStatus]] = frozenset({"DELAYED", "PENDING_VERSION", "PENDING"})
"""What a new run may be: held for its time, parked until a worker knows its task, or in line."""

MOVES: Final[dict[LiveStatus, frozenset[StoredStatus]]] = {
    "DELAYED": _FROM_OUTSIDE | {"DELAYED", "PENDING", "PENDING_VERSION"},
    "PENDING_VERSION": _FROM_OUTSIDE | {"PENDING", "DELAYED"},
    "PENDING": _FROM_OUTSIDE | {"EXECUTING", "EXPIRED"},
    "EXECUTING": _FROM_OUTSIDE | _BY_WORKER | {"WAITING_TO_RESUME", "RETRYING_AFTER_FAILURE", "PENDING"},
    "WAITING_TO_RESUME": _FROM_OUTSIDE
    | _BY_WORKER
    | {"EXECUTING", "WAITING_TO_RESUME", "RETRYING_AFTER_FAILURE", "PENDING"},
    "RETRYING_AFTER_FAILURE": _FROM_OUTSIDE | {"PENDING"},
}
"""From each status of a run that has not ended, where it may go."""

FINAL: Final[frozenset[FinalStatus]] = frozenset(
    {
        "COMPLETED_SUCCESSFULLY",
        "COMPLETED_WITH_ERRORS",
        "CANCELED",
        "CRASHED",
        "SYSTEM_FAILURE",
        "EXPIRED",
        "TIMED_OUT",
    }
)
"""What a run never leaves. SYSTEM_FAILURE is only ever a birth: an item that could not be made into a run."""
