"""Reading: runs as clients see them.

A run's status is that of its live row while it has one, and its final status afterwards; both are read in one
statement, so the answer is always one moment's truth.

Life of a run, this module's part::

    api/routes/runs -> reading.retrieve, list_runs -> RunView, RunPage
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from oncue.engine import obstacles
from oncue.engine.option_rules import show_priority
from oncue.engine.results import child_result, raw, read_error
from oncue.engine.rows import Environment
from oncue.protocol import codec, durations, ids, packets, status
from oncue.protocol.errors import NotFound
from oncue.protocol.failures import shown
from oncue.protocol.runs import (
    Environment as EnvironmentView,
)
from oncue.protocol.runs import (
    ListedRun,
    Pagination,
    PendingReason,
    RelatedRuns,
    RunPage,
    RunSummary,
    RunView,
    TriggerFunction,
)
from oncue.protocol.status import ApiStatus, StoredStatus, Words
from oncue.protocol.triggers import IdempotencyKeyOptions
from oncue.protocol.work import ChildResult
from oncue.store import queries
from oncue.store.pool import Tx


class RunRow(msgspec.Struct, frozen=True):
    """A run with its live row's part."""

    id: uuid.UUID
    status: StoredStatus
    task: str
    queue: str
    tags: list[str]
    metadata: str | None
    priority: int
    is_test: bool
    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None
    depth: int
    batch_id: uuid.UUID | None
    awaited: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    delay_until: datetime.datetime | None
    compute_ms: int
    attempt_count: int
    version: str | None
    machine: str | None
    region: str | None
    ttl: datetime.timedelta | None
    idempotency_key: str | None
    idempotency_options: str | None
    concurrency_key: str | None
    replayed_from: uuid.UUID | None


class Contents(msgspec.Struct, frozen=True):
    """The documents of a run."""

    payload: str | None
    payload_type: str
    output: str | None
    output_type: str | None
    error: str | None


class Span(msgspec.Struct, frozen=True):
    """Between which ids runs are looked for, both ends included: what lies outside costs nothing."""

    lowest: uuid.UUID = uuid.UUID(int=0)
    highest: uuid.UUID = uuid.UUID(int=(1 << 128) - 1)


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What ``runs.list`` asks for; None filters nothing, several values of one filter are alternatives."""

    statuses: Sequence[ApiStatus] | None = None
    tasks: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    queues: Sequence[str] | None = None
    versions: Sequence[str] | None = None
    machines: Sequence[str] | None = None
    regions: Sequence[str] | None = None
    is_scheduled: bool = False
    """Of a schedule, of which there are none: nothing is found."""
    batch: uuid.UUID | None = None
    bulk_action: uuid.UUID | None = None
    """Runs that it cancelled, or made."""
    is_test: bool | None = None
    created_from: datetime.datetime | None = None
    created_to: datetime.datetime | None = None
    period: datetime.timedelta | None = None
    """Runs created within so long."""
    after: uuid.UUID | None = None
    """Older than this run."""
    before: uuid.UUID | None = None
    """Newer than this run."""
    size: int = 25
    """1 to 100."""


_sql = queries.load("reading")
_retrieve = _sql.many("retrieve", RunRow)
_contents = _sql.one("contents", Contents)
_relatives = _sql.many("relatives", RunRow)
_span_of_action = _sql.one("span_of_action", Span)
_list_runs = _sql.many("list_runs", RunRow)
_list_runs_above = _sql.many("list_runs_above", RunRow)


async def retrieve(tx: Tx, environment: Environment, run: uuid.UUID, *, words: Words = status.SHOWN) -> RunView:
    """Return a run with its documents and its family: root, parent, and at most 100 children.

    Of a document that is kept in the object store it has the path, in the place of its address. Statuses are called by
    ``words``.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    row = await _one(tx, environment, run)
    contents = await _contents(tx, env_id=environment.id, run_id=run)
    relatives = await _relatives(tx, env_id=environment.id, run_id=run, parent_id=row.parent_id, root_id=row.root_id)
    family = {relative.id: _summary(relative, words) for relative in relatives}
    children = [family[relative.id] for relative in relatives if relative.parent_id == run]
    return RunView(
        **_common(row, words),
        payload=_plain(contents.payload, contents.payload_type),
        payload_presigned_url=_path(contents.payload, contents.payload_type),
        output=_plain(contents.output, contents.output_type),
        output_presigned_url=_path(contents.output, contents.output_type),
        error=None if contents.error is None else shown(read_error(contents.error)),
        related_runs=RelatedRuns(
            root=None if row.root_id is None else family.get(row.root_id),
            parent=None if row.parent_id is None else family.get(row.parent_id),
            children=children or None,
        ),
        attempt_count=row.attempt_count,
        priority=show_priority(row.priority),
        replayed_from=None if row.replayed_from is None else ids.show(ids.RUN, row.replayed_from),
        pending_reason=await _pending_reason(tx, environment, row),
    )


async def _pending_reason(tx: Tx, environment: Environment, row: RunRow) -> PendingReason | None:
    match row.status:
        case "PENDING_VERSION":
            return obstacles.unknown_task(environment, row.task, row.region, row.version)
        case "PENDING":
            return await obstacles.find(tx, environment, row.id)
        case _:
            return None


async def read_result(tx: Tx, environment: Environment, run: uuid.UUID) -> ChildResult | None:
    """Return how a run ended, None while it has not.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    row = await _one(tx, environment, run)
    if row.finished_at is None:
        return None
    contents = await _contents(tx, env_id=environment.id, run_id=run)
    return child_result(
        run,
        task=row.task,
        status=row.status,
        output=contents.output,
        output_type=contents.output_type,
        error=contents.error,
    )


async def list_runs(tx: Tx, environment: Environment, query: RunQuery, *, words: Words = status.SHOWN) -> RunPage:
    """Return a page of runs, newest first; cursors are run ids, so inserts do not move pages."""
    if query.is_scheduled:
        return RunPage([], Pagination())
    # One more than asked for tells whether there is another page.
    filters = {**await conditions(tx, environment, query), "size": query.size + 1}
    if query.before is None:
        rows = await _list_runs(tx, after=query.after, **filters)
    else:
        rows = await _list_runs_above(tx, before=query.before, **filters)
    more = len(rows) > query.size
    rows = rows[: query.size]
    backwards = query.before is not None
    if backwards:
        rows = rows[::-1]
    env = EnvironmentView(str(environment.id), environment.slug)
    older = rows and (more or backwards)
    newer = rows and (query.after is not None or (backwards and more))
    return RunPage(
        [ListedRun(**_common(row, words), env=env) for row in rows],
        Pagination(
            next=ids.show(ids.RUN, rows[-1].id) if older else None,
            previous=ids.show(ids.RUN, rows[0].id) if newer else None,
        ),
    )


async def conditions(tx: Tx, environment: Environment, query: RunQuery) -> dict[str, object]:
    """Return what runs must match, as statements about ``runs_now`` ask for it; pages are left out."""
    span = await _span(tx, environment, query)
    stored = None
    if query.statuses is not None:
        stored = [name for shown_as in query.statuses for name in status.STORED[shown_as]]
    return {
        "env_id": environment.id,
        "statuses": stored,
        "tasks": query.tasks,
        "tags": query.tags,
        "queues": query.queues,
        "versions": query.versions,
        "machines": query.machines,
        "regions": query.regions,
        "lowest": span.lowest,
        "highest": span.highest,
        "bulk_action": query.bulk_action,
        "is_test": query.is_test,
        "created_from": query.created_from,
        "created_to": query.created_to,
        "period": query.period,
    }


async def _span(tx: Tx, environment: Environment, query: RunQuery) -> Span:
    """Return between which ids the runs of a batch and of a bulk action are."""
    span = Span()
    if query.batch is not None:
        span = Span(ids.item_run_id(query.batch, 0), ids.item_run_id(query.batch, ids.MAX_ITEM_INDEX))
    if query.bulk_action is not None:
        of_action = await _span_of_action(tx, env_id=environment.id, bulk_action=query.bulk_action)
        span = Span(max(span.lowest, of_action.lowest), min(span.highest, of_action.highest))
    return span


async def _one(tx: Tx, environment: Environment, run: uuid.UUID) -> RunRow:
    rows = await _retrieve(tx, env_id=environment.id, run_id=run)
    if not rows:
        raise NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
    return rows[0]


def _plain(document: str | None, type_: str | None) -> msgspec.Raw:
    if document is None or type_ == codec.STORE:
        return codec.NOTHING
    return codec.plain(document.encode(), type_ or codec.JSON)


def _path(document: str | None, type_: str | None) -> str | None:
    """Return where a document is kept in the object store; None where it is not."""
    return None if document is None or type_ != codec.STORE else packets.path_of(document)


def _summary(row: RunRow, words: Words) -> RunSummary:
    return RunSummary(**_common(row, words))


def _common(row: RunRow, words: Words) -> dict[str, Any]:  # the fields differ in type; RunSummary holds them to theirs
    seen: ApiStatus = status.SHOWN[row.status]
    return {
        "id": ids.show(ids.RUN, row.id),
        "status": words[row.status],
        "task_identifier": row.task,
        **status.booleans(seen),
        "is_test": row.is_test,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "delayed_until": row.delay_until,
        "expired_at": row.finished_at if seen == "EXPIRED" else None,
        "tags": row.tags,
        "cost_in_cents": 0.0,
        "base_cost_in_cents": 0.0,
        "duration_ms": row.compute_ms,
        "metadata": raw(row.metadata),
        "queue": row.queue,
        "concurrency_key": row.concurrency_key,
        "version": row.version,
        "machine": row.machine,
        "region": row.region,
        "ttl": None if row.ttl is None else durations.show(row.ttl),
        "idempotency_key": _shown_key(row),
        "depth": row.depth,
        "trigger_function": _trigger_function(row),
        "batch_id": None if row.batch_id is None else ids.show(ids.BATCH, row.batch_id),
    }


def _shown_key(row: RunRow) -> str | None:
    """Return the key as a person wrote it, else as it was sent."""
    if row.idempotency_key is None or row.idempotency_options is None:
        return row.idempotency_key
    return msgspec.json.decode(row.idempotency_options, type=IdempotencyKeyOptions).key


def _trigger_function(row: RunRow) -> TriggerFunction:
    if row.batch_id is not None:
        return "batchTriggerAndWait" if row.awaited else "batchTrigger"
    return "triggerAndWait" if row.awaited else "trigger"
