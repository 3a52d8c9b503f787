"""Bulk actions: many runs are cancelled or replayed at one request (wire contract §2.7).

Life of a run, this module's part::

    sdk/bulk_actions -> CreateBulkActionRequest -> api/routes/bulk_actions -> engine/bulk_actions -> BulkAction
"""

import datetime
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from oncue.protocol.runs import Pagination

BulkActionKind: TypeAlias = Literal["cancel", "replay"]
BulkActionType: TypeAlias = Literal["CANCEL", "REPLAY"]
BulkActionStatus: TypeAlias = Literal["PENDING", "COMPLETED", "ABORTED"]

# Text, and not the Literal itself, so that a wrong one can be refused with what is accepted.
_Kind: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(get_args(BulkActionKind))})]
_Texts: TypeAlias = str | list[str] | None
_Moment: TypeAlias = int | float | str | None
"""Milliseconds since 1970, or an ISO date."""


class QueueName(msgspec.Struct, frozen=True):
    """A queue by the id of the task whose own it is, ``type`` being ``task``, or by its name, ``custom``."""

    type: str
    name: str


class BulkFilter(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What runs must match, as a list of runs is asked for; several values of one field are alternatives.

    A field that is not known is refused: without it more runs would match than were meant.
    """

    status: _Texts = None
    task_identifier: _Texts = None
    tag: _Texts = None
    version: _Texts = None
    machine: _Texts = None
    region: _Texts = None
    queue: QueueName | list[QueueName] | None = None
    batch: str | None = None
    bulk_action: str | None = None
    schedule: str | None = None
    is_test: bool | None = None
    from_: _Moment = msgspec.field(default=None, name="from")
    to: _Moment = None
    period: str | None = None


class CreateBulkActionRequest(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Something is to be done to the runs that match a filter, or to some that are named: exactly one of both."""

    action: _Kind
    filter: BulkFilter | None = None
    run_ids: list[str] | None = None
    name: str | None = None
    """At most 255 characters, for people."""
    target_region: str | None = None
    """Where replays run; absent: each where its original was to."""


class BulkActionReference(msgspec.Struct, frozen=True):
    """The action that was aborted."""

    id: str


class BulkActionCounts(msgspec.Struct, frozen=True):
    """How many runs an action is about, and what came of those that it has been through."""

    total: int
    """Runs that were chosen when the action was made."""
    success: int
    """Runs that were cancelled, or replays that were made."""
    failure: int
    """Runs that had ended before they could be cancelled or are not there, and replays that were refused."""


class BulkAction(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """An action upon many runs as it stands."""

    id: str
    """``bulk_`` and 26 characters."""
    type: BulkActionType
    status: BulkActionStatus
    counts: BulkActionCounts
    created_at: datetime.datetime
    name: str | None = None
    completed_at: datetime.datetime | None = None
    """When all runs had been gone through; None while they have not, and where the action was aborted."""


class BulkActionPage(msgspec.Struct, frozen=True):
    """Some actions, newest first."""

    data: list[BulkAction]
    pagination: Pagination
