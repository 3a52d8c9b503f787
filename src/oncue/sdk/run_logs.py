"""Run logs: read the lines that a run has logged.

Life of a run, this module's part::

    runs.logs -> read -> engine/run_logs
"""

import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from oncue.protocol.logs import Level
from oncue.sdk import flows, requests
from oncue.sdk.flows import Flow


class LoggedLine(msgspec.Struct, frozen=True, rename="camel"):
    """A line of a run."""

    id: str
    """Names the line within its run."""
    attempt: int
    """From 1."""
    at: datetime.datetime
    """By the worker's clock; aware."""
    level: Level
    message: str
    fields: dict[str, Any] = {}


class _Page(msgspec.Struct, frozen=True):
    events: list[LoggedLine]
    next: str | None = None


def read(run_id: str) -> Flow[list[LoggedLine]]:
    """Return the flow that reads every line of a run, page after page, oldest first."""
    found: list[LoggedLine] = []
    path = f"/api/v1/runs/{quote(run_id, safe='')}/events"
    query: list[tuple[str, str]] = []
    while True:
        page = yield from flows.exchange(requests.get(path, _Page, query))
        found += page.events
        if page.next is None:
            return found
        query = [("after", page.next)]
