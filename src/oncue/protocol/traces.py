"""Traces: a family of runs as a tree of spans, with the lines that they have logged.

Source: wire contract §4.4.
"""

import datetime
from typing import Literal, TypeAlias

import msgspec

from oncue.protocol.codec import NOTHING

SpanLevel: TypeAlias = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]
"""``TRACE`` for a run, else that of a line."""


class SpanData(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What a span says."""

    message: str
    """The task of a run, or the text of a line."""
    task_slug: str
    task_path: str | None = None
    """Where the task is defined, as ``path:line``."""
    start_time: datetime.datetime
    """When a run first started, or was triggered where it has not; when a line was written."""
    duration: float
    """Milliseconds; of a run that has not ended, until now."""
    is_error: bool
    is_partial: bool
    """The run has not ended."""
    is_cancelled: bool
    level: SpanLevel
    worker_version: str | None = None
    queue_name: str | None = None
    machine_preset: str | None = None
    properties: msgspec.Raw = NOTHING
    """A JSON object: the fields of a line."""


class Span(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run, or a line that it has logged."""

    id: str
    """16 hexadecimal digits, always the same for the same thing."""
    parent_id: str | None = None
    run_id: str
    data: SpanData
    children: list["Span"]
    """In order of time."""


class Trace(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The whole family that a run belongs to."""

    trace_id: str
    """32 hexadecimal digits."""
    root_span: Span
    truncated: bool = False
    """There is more than is shown."""


class FlatSpan(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A span of a page, without those below it."""

    id: str
    parent_id: str | None = None
    run_id: str
    message: str
    start_time: datetime.datetime
    duration: float
    """Milliseconds."""
    is_error: bool
    is_partial: bool
    is_cancelled: bool
    level: SpanLevel


class TracePages(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What comes after a page."""

    next: str | None = None
    """The last span of this one; None: there are no more."""
    truncated: bool = False
    """There is more than is shown on all pages together."""


class TraceView(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Answer to a request for a trace: the tree, or a page of it."""

    trace: Trace | None = None
    data: list[FlatSpan] | None = None
    """Spans as the tree has them from top to bottom, each before those below it."""
    attempt_failures: list[str] | None = None
    """Of a page, always empty: attempts are no spans here."""
    pagination: TracePages | None = None


class SpanDetail(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A span alone."""

    span_id: str
    parent_id: str | None
    run_id: str
    message: str
    is_error: bool
    is_partial: bool
    is_cancelled: bool
    level: SpanLevel
    start_time: datetime.datetime
    duration_ms: float
    properties: msgspec.Raw = NOTHING
    """A JSON object: the fields of a line."""
