"""Run: a run as the SDK shows it, with payload, output and metadata as Python values.

The fields are the wire contract's (§4.2) in snake_case; what stands for what is decided by the server.
"""

from typing import Any

import msgspec

from oncue.protocol.failures import ShownError
from oncue.protocol.runs import Environment, Pagination, PendingReason, RunSummary


class RelatedRun(RunSummary, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run, without what it was given and what it made."""

    metadata: Any = None


class RelatedRuns(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Where a run stands in its family."""

    root: RelatedRun | None = None
    parent: RelatedRun | None = None
    children: list[RelatedRun] | None = None


class Run(RelatedRun, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run as ``runs.retrieve`` shows it."""

    payload: Any = None
    payload_presigned_url: str | None = None
    """Where a large payload is kept; None once it has been fetched, so not None only where it could not be."""
    output: Any = None
    """What the task returned, once ``is_success``."""
    output_presigned_url: str | None = None
    """Where a large output is kept; None once it has been fetched, so not None only where it could not be."""
    error: ShownError | None = None
    related_runs: RelatedRuns = RelatedRuns()
    attempt_count: int = 0
    priority: float = 0
    """Seconds of head start."""
    replayed_from: str | None = None
    """The run that this one is a replay of."""
    pending_reason: PendingReason | None = None
    """Why it does not start; None where it is not due, or only others are before it."""


class ListedRun(RelatedRun, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run as ``runs.list`` yields it."""

    env: Environment


class RunPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of runs, newest first."""

    data: list[ListedRun]
    pagination: Pagination
