"""Bulk selections: which runs a bulk action is about, as its request says it.

Life of a run, this module's part::

    api/routes/bulk_actions -> bulk_selections.read -> NewAction -> engine/bulk_actions
"""

import uuid
from collections.abc import Collection, Sequence
from typing import Final, TypeVar, get_args

from oncue.api import query_values
from oncue.engine.bulk_actions import NewAction
from oncue.engine.reading import RunQuery
from oncue.protocol import ids, limits, machines, names, queues
from oncue.protocol.bulk_actions import BulkActionKind, BulkActionType, BulkFilter, CreateBulkActionRequest, QueueName
from oncue.protocol.errors import BadRequest
from oncue.protocol.status import ApiStatus

Name = TypeVar("Name", bound=str)

_TYPES: Final[dict[str, BulkActionType]] = {"cancel": "CANCEL", "replay": "REPLAY"}


def read(request: CreateBulkActionRequest) -> NewAction:
    """Read what is to be done to which runs.

    Raises:
        BadRequest: A field makes no sense, or it is not said which runs are meant; names the field.
    """
    if request.action not in _TYPES:
        raise BadRequest(f"action: found {request.action[:60]!r}; expected {' or '.join(get_args(BulkActionKind))}")
    if (request.filter is None) == (request.run_ids is None):
        found = "neither" if request.filter is None else "both"
        raise BadRequest(f"filter, runIds: found {found}; expected exactly one of them, to say which runs are meant")
    longest = limits.MAX_BULK_ACTION_NAME_LENGTH
    if request.name is not None and len(request.name) > longest:
        raise BadRequest(f"name: found {len(request.name):,} characters; expected at most {longest}")
    return NewAction(
        type=_TYPES[request.action],
        query=None if request.filter is None else _query(request.filter),
        run_ids=[] if request.run_ids is None else _named(request.run_ids),
        name=request.name,
        region=_target_region(request),
    )


def _target_region(request: CreateBulkActionRequest) -> str | None:
    region = request.target_region
    if region is None:
        return None
    if request.action != "replay":
        raise BadRequest(f"targetRegion: found with the action {request.action}; expected with replay alone")
    if not names.is_region(region):
        raise BadRequest(f"targetRegion: {region[:60]!r} is not a region's name; expected {names.REGION_FORM}")
    return region


def _named(run_ids: Sequence[str]) -> list[uuid.UUID]:
    if not 1 <= len(run_ids) <= limits.MAX_BULK_RUN_IDS:
        raise BadRequest(
            f"runIds: found {len(run_ids):,}; expected 1 to {limits.MAX_BULK_RUN_IDS}; name more runs by a filter"
        )
    return [_id(f"runIds[{position}]", ids.RUN, text) for position, text in enumerate(run_ids)]


def _query(asked: BulkFilter) -> RunQuery:
    """Read a filter. A field that is given and says nothing is refused: left out, it would make the action larger."""
    if all(getattr(asked, field) is None for field in asked.__struct_fields__):
        raise BadRequest("filter: found nothing in it; expected at least one field, to say which runs are meant")
    period = _text("period", asked.period)
    return RunQuery(
        statuses=_of("status", asked.status, get_args(ApiStatus)),
        tasks=_texts("taskIdentifier", asked.task_identifier),
        tags=_texts("tag", asked.tag),
        versions=_texts("version", asked.version),
        machines=_of("machine", asked.machine, machines.MACHINES),
        regions=_texts("region", asked.region),
        queues=_queues(asked.queue),
        batch=_one("batch", ids.BATCH, asked.batch),
        bulk_action=_one("bulkAction", ids.BULK, asked.bulk_action),
        is_scheduled=_text("schedule", asked.schedule) is not None,
        is_test=asked.is_test,
        created_from=query_values.moment({"filter.from": _moment_text(asked.from_)}, "filter.from"),
        created_to=query_values.moment({"filter.to": _moment_text(asked.to)}, "filter.to"),
        period=None if period is None else query_values.period({"filter.period": period}, "filter.period"),
    )


def _texts(field: str, value: str | Sequence[str] | None) -> list[str] | None:
    """Return the texts of a field; None where it is not given.

    Raises:
        BadRequest: There are none, or one of them is empty.
    """
    if value is None:
        return None
    found = [value] if isinstance(value, str) else list(value)
    if not found or not all(text.strip() for text in found):
        raise BadRequest(
            f"filter.{field}: found {value!r:.80}; expected texts that are not empty, or no such field, "
            "to say which runs are meant"
        )
    return found


def _text(field: str, value: str | None) -> str | None:
    found = _texts(field, value)
    return None if found is None else found[0]


def _of(field: str, value: str | Sequence[str] | None, accepted: Collection[Name]) -> list[Name] | None:
    found = _texts(field, value)
    if found is None:
        return None
    known = {str(name): name for name in accepted}
    for text in found:
        if text not in known:
            raise BadRequest(f"filter.{field}: found {text[:60]!r}; expected any of {', '.join(known)}")
    return [known[text] for text in found]


def _queues(value: QueueName | Sequence[QueueName] | None) -> list[str] | None:
    if value is None:
        return None
    if value == []:
        raise BadRequest("filter.queue: found []; expected queues, or no such field, to say which runs are meant")
    return [_queue(each) for each in ([value] if isinstance(value, QueueName) else value)]


def _queue(queue: QueueName) -> str:
    """Return by which name a queue is stored."""
    if queue.type not in ("task", "custom"):
        raise BadRequest(f"filter.queue.type: found {queue.type[:60]!r}; expected task or custom")
    return queues.TASK_PREFIX + queue.name if queue.type == "task" else queue.name


def _one(field: str, prefix: str, value: str | None) -> uuid.UUID | None:
    text = _text(field, value)
    return None if text is None else _id(f"filter.{field}", prefix, text)


def _id(field: str, prefix: str, text: str) -> uuid.UUID:
    try:
        return ids.parse(prefix, text)
    except BadRequest as refusal:
        raise BadRequest(f"{field}: {refusal.message}") from None


def _moment_text(value: float | str | None) -> str:
    """Return a moment as a query would hold it; numbers are whole milliseconds there."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()
