"""Statuses: the stored vocabulary, and how the API shows it.

The stored names and the mapping are the wire contract's (§4.1). Which move is allowed between them is decided in
``engine/states.py``.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, TypedDict

LiveStatus: TypeAlias = Literal[
    "DELAYED", "PENDING_VERSION", "PENDING", "EXECUTING", "WAITING_TO_RESUME", "RETRYING_AFTER_FAILURE"
]
FinalStatus: TypeAlias = Literal[
    "COMPLETED_SUCCESSFULLY", "COMPLETED_WITH_ERRORS", "CANCELED", "CRASHED", "SYSTEM_FAILURE", "EXPIRED", "TIMED_OUT"
]
StoredStatus: TypeAlias = LiveStatus | FinalStatus

ApiStatus: TypeAlias = Literal[
    "PENDING_VERSION", "DELAYED", "QUEUED", "DEQUEUED", "EXECUTING", "WAITING", "COMPLETED", "CANCELED", "FAILED",
    "CRASHED", "SYSTEM_FAILURE", "EXPIRED", "TIMED_OUT",
]  # fmt: skip

OlderStatus: TypeAlias = Literal["FROZEN", "REATTEMPTING"]
"""What callers see who do not say that they know the words above."""

SHOWN: Final[dict[StoredStatus, ApiStatus]] = {
    "DELAYED": "DELAYED",
    "PENDING_VERSION": "PENDING_VERSION",
    "PENDING": "QUEUED",
    "EXECUTING": "EXECUTING",
    "WAITING_TO_RESUME": "WAITING",
    "RETRYING_AFTER_FAILURE": "EXECUTING",
    "COMPLETED_SUCCESSFULLY": "COMPLETED",
    "COMPLETED_WITH_ERRORS": "FAILED",
    "CANCELED": "CANCELED",
    "CRASHED": "CRASHED",
    "SYSTEM_FAILURE": "SYSTEM_FAILURE",
    "EXPIRED": "EXPIRED",
    "TIMED_OUT": "TIMED_OUT",
}
"""Stored status to the one that clients see."""

Words: TypeAlias = Mapping[StoredStatus, ApiStatus | OlderStatus]

SHOWN_BEFORE: Final[Words] = {**SHOWN, "WAITING_TO_RESUME": "FROZEN", "RETRYING_AFTER_FAILURE": "REATTEMPTING"}
"""The same for callers without ``x-trigger-api-version``."""

STORED: Final[dict[ApiStatus, tuple[StoredStatus, ...]]] = {
    **{shown: tuple(s for s, a in SHOWN.items() if a == shown) for shown in SHOWN.values()},
    "DEQUEUED": (),
}
"""What a filter on a shown status looks for. A claim starts its run, so nothing is ever stored as dequeued."""

FINAL: Final[frozenset[ApiStatus]] = frozenset(
    {"COMPLETED", "CANCELED", "FAILED", "CRASHED", "SYSTEM_FAILURE", "EXPIRED", "TIMED_OUT"}
)
"""Statuses that a run never leaves."""

WAITING_IN_LINE: Final[frozenset[ApiStatus]] = frozenset({"QUEUED", "DELAYED", "PENDING_VERSION"})
"""What ``is_queued`` means. Source: wire contract §4.1."""


class Booleans(TypedDict):
    """What follows from a status."""

    is_queued: bool
    is_executing: bool
    is_waiting: bool
    is_completed: bool
    is_success: bool
    is_failed: bool
    is_cancelled: bool


def booleans(seen: ApiStatus) -> Booleans:
    """Return what follows from a status, as every view of a run has it. Source: wire contract §4.1, trap 6."""
    final = seen in FINAL
    return {
        "is_queued": seen in WAITING_IN_LINE,
        "is_executing": seen in {"EXECUTING", "DEQUEUED"},
        "is_waiting": seen == "WAITING",
        "is_completed": final,
        "is_success": seen == "COMPLETED",
        "is_failed": final and seen != "COMPLETED",
        "is_cancelled": seen == "CANCELED",
    }
