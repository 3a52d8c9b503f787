"""Logs: the lines that a task attaches to its run, as they are sent and shown.

Life of a run, this module's part::

    sdk/logger -> worker/log_shipping -> LogsRequest -> engine/run_logs -> RunEvents
"""

import datetime
from typing import Literal, TypeAlias

import msgspec

from oncue.protocol.codec import NOTHING

Level: TypeAlias = Literal["debug", "info", "warning", "error"]


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A line on its way to the server."""

    run_id: str
    epoch: int
    number: int
    """Counted by the worker; a line that is sent again is stored once."""
    attempt: int
    at: datetime.datetime
    """By the worker's clock; aware."""
    level: Level
    message: str
    fields: msgspec.Raw = NOTHING
    """A JSON object."""


class LogsRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Lines of any runs of the environment."""

    lines: list[LogLine]


class LogsKept(msgspec.Struct, frozen=True, rename="camel"):
    """They are stored."""

    kept: int
    """How many were new and belong to runs that there are."""


class RunEventView(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A line of a run."""

    id: str
    """Names the line within its run; later lines follow after it."""
    attempt: int
    at: datetime.datetime
    level: Level
    message: str
    fields: msgspec.Raw = NOTHING


class RunEvents(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A page of a run's lines, oldest first."""

    events: list[RunEventView]
    next: str | None = None
    """Where there are more: what to ask for as ``after``."""
