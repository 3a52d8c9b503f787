"""Run filters: what a listed run must match, as users say it and as it is asked for.

Life of a run, this module's part::

    runs.list -> run_filters.read -> RunQuery.page -> api/routes/runs
    runs.bulk.cancel -> run_filters.read -> as_body -> api/routes/bulk_actions
"""

import datetime
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypedDict, get_args

import msgspec

from oncue.protocol import durations, names
from oncue.protocol.bulk_actions import BulkAction, BulkFilter
from oncue.protocol.durations import Duration
from oncue.protocol.machines import Machine
from oncue.protocol.queues import TASK_PREFIX
from oncue.protocol.status import ApiStatus
from oncue.sdk import queue_refs, requests
from oncue.sdk.handles import BatchHandle
from oncue.sdk.options import unknown
from oncue.sdk.queue_refs import QueueRef
from oncue.sdk.run import RunPage

PAGE: Final = 100
"""Runs that are asked for at once."""


class BulkFilters(TypedDict, total=False):
    """What runs must match; each takes one value or several, of which one must match."""

    status: ApiStatus | Sequence[ApiStatus] | None
    task: str | Sequence[str] | None
    tag: str | Sequence[str] | None
    queue: QueueRef | Sequence[QueueRef] | None
    """By name, or by what has one: ``queue(...)``, a task, what ``queues.retrieve`` returned. Not by id."""
    batch: str | BatchHandle[Any] | None
    bulk_action: str | BulkAction | None
    """Runs that it has cancelled, or made."""
    version: str | Sequence[str] | None
    region: str | Sequence[str] | None
    machine: Machine | Sequence[Machine] | None
    is_test: bool | None
    created_after: datetime.datetime | None
    """Aware."""
    created_before: datetime.datetime | None
    """Aware."""
    period: Duration | None
    """Created within this time up to now."""


class RunFilters(BulkFilters, total=False):
    """What a listed run must match, and how many are listed."""

    limit: int | None
    """At most so many runs in all."""


class RunQuery(NamedTuple):
    """What is asked for, and how many runs at most."""

    filters: Sequence[tuple[str, str]]
    limit: int | None

    def page(self, after: str | None, seen: int) -> requests.Call[RunPage]:
        """Return the call for the next page, after so many runs."""
        size = PAGE if self.limit is None else min(PAGE, self.limit - seen)
        cursor = [] if after is None else [("page[after]", after)]
        return requests.get("/api/v1/runs", RunPage, [("page[size]", str(size)), *cursor, *self.filters])


def read(filters: BulkFilters) -> RunQuery:
    """Read filters.

    Raises:
        TypeError: There is no such filter.
        ValueError: A value makes no sense.
    """
    query: dict[str, str] = {}
    limit: int | None = None
    for name, value in filters.items():
        if name not in RunFilters.__annotations__:
            raise unknown(name, tuple(RunFilters.__annotations__), "filter")
        match name, value:
            case _, None:
                continue
            case "limit", _:
                limit = _limit(value)
            case "period", _:
                query["filter[createdAt][period]"] = durations.show(durations.read(value, "period"))
            case (("created_after" | "created_before"), _):
                query[_NAMES[name]] = _moment(name, value)
            case "is_test", _:
                query["filter[isTest]"] = _flag(name, value)
            case "queue", _:
                query["filter[queue]"] = _values(name, [queue_refs.read_name(each) for each in _each(value)])
            case _:
                query[_NAMES.get(name, f"filter[{name}]")] = _values(name, value)
    return RunQuery(tuple(query.items()), limit)


_NAMES: Final = {
    "bulk_action": "filter[bulkAction]",
    "task": "filter[taskIdentifier]",
    "created_after": "filter[createdAt][from]",
    "created_before": "filter[createdAt][to]",
}


def as_body(query: RunQuery) -> BulkFilter:
    """Return filters as the body of a bulk action says them."""
    fields: dict[str, object] = {}
    for name, text in query.filters:
        # filter[createdAt][from] is ``from`` there.
        field = name.rstrip("]").rpartition("[")[2]
        match field:
            case "isTest":
                fields[field] = text == "true"
            case "queue":
                fields[field] = [_queue_name(each) for each in text.split(",")]
            case "from" | "to":
                fields[field] = int(text)
            case "period" | "batch" | "bulkAction":
                fields[field] = text
            case _:
                fields[field] = text.split(",")
    return msgspec.convert(fields, BulkFilter)


def _queue_name(stored: str) -> dict[str, str]:
    if stored.startswith(TASK_PREFIX):
        return {"type": "task", "name": stored.removeprefix(TASK_PREFIX)}
    return {"type": "custom", "name": stored}


def _limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"limit={value!r} is not accepted; expected a whole number from 1, or None for all")
    return value


def _flag(name: str, value: object) -> str:
    if value is True or value is False:
        return str(value).lower()
    raise ValueError(f"{name}={value!r} is not accepted; expected True, False or None")


def _moment(name: str, value: object) -> str:
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise ValueError(f"{name}={value!r} is not accepted; expected an aware datetime")
    return str(round(value.timestamp() * 1000))


def _each(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _values(name: str, value: object) -> str:
    texts: Sequence[Any] = [getattr(each, "id", each) for each in _each(value)]
    if not texts:
        raise ValueError(f"{name}={value!r} is empty; expected one value or several, or None for all")
    for text in texts:
        # Several values travel joined by commas, so a comma inside one would be read as two.
        if not isinstance(text, str) or not text or "," in text or not names.is_storable(text):
            raise ValueError(f"{name}={value!r} is not accepted; expected one text or several, without commas")
        if name == "status" and text not in get_args(ApiStatus):
            raise ValueError(f"status={text!r} is not a status; expected one of {', '.join(get_args(ApiStatus))}")
    return ",".join(texts)
