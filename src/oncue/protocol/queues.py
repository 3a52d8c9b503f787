"""Queues: what is told of a queue, and what operators ask for.

The shapes are the wire contract's (§7, §8.9). Unlike elsewhere a field that may be empty is sent as null: official
clients require every one of them.

Life of a run, this module's part::

    engine/queue_reading -> QueueView -> api/routes/queues -> sdk/queues
"""

import datetime
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec

QueueNaming: TypeAlias = Literal["id", "task", "custom"]
"""What a queue is called by: its id, the id of the task whose own queue it is, or its name."""
QueueAction: TypeAlias = Literal["pause", "resume"]

TASK_PREFIX: Final = "task/"
"""Begins the stored name of a task's own queue."""


class QueueConcurrency(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How many runs of a queue may execute at once, and who says so. None stands for no limit."""

    current: int | None = None
    """What holds now: the override while there is one, else what the code says."""
    base: int | None = None
    """What the code says."""
    override: int | None = None
    """What an operator says instead; None where nobody does."""
    overridden_at: datetime.datetime | None = None
    overridden_by: str | None = None
    """Who did it, where the server knows."""


class QueueView(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A queue as it stands."""

    id: str
    name: str
    """Of a task's own queue: the task's id."""
    type: Literal["task", "custom"]
    running: int
    """Runs that execute."""
    queued: int
    """Runs in line; those that are delayed, or wait for other runs, are not."""
    paused: bool
    concurrency_limit: int | None
    """Runs that may execute at once, for each concurrency key; None for no limit."""
    concurrency: QueueConcurrency = QueueConcurrency()
    version: Literal["V1", "V2"] = "V1"
    """Which shape this is: a queue that has its limit itself is ``V1``. Of a ``V2`` official clients refuse
    ``concurrency``; it is there for their types, and no server of ours says it."""


class OffsetPagination(msgspec.Struct, frozen=True, rename="camel"):
    """Which page this is, of how many, and how many things there are on all of them."""

    current_page: int
    total_pages: int
    count: int


class QueuePage(msgspec.Struct, frozen=True):
    """One page of queues, by name."""

    data: list[QueueView]
    pagination: OffsetPagination


# Text, and not the Literal itself, so that a wrong one can be refused with what is accepted.
_Naming: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(get_args(QueueNaming))})]
_Action: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(get_args(QueueAction))})]


class PauseRequest(msgspec.Struct, frozen=True):
    """Pause a queue, or resume it."""

    action: _Action
    type: _Naming = "id"


class OverrideRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Set a limit that wins over the code's."""

    concurrency_limit: int
    type: _Naming = "id"


class ResetRequest(msgspec.Struct, frozen=True):
    """Let the code's limit hold again."""

    type: _Naming = "id"
