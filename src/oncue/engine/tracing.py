"""Tracing: the family that a run belongs to, as a tree of spans.

Source: wire contract §4.4.

Life of a run, this module's part::

    api/routes/traces -> tracing.read -> runs, run_logs
"""

import datetime
import hashlib
import uuid
from typing import Final

import msgspec

from oncue.engine.rows import Environment, RunId
from oncue.protocol import codec, ids, status
from oncue.protocol.errors import NotFound
from oncue.protocol.logs import Level
from oncue.protocol.status import StoredStatus
from oncue.protocol.traces import Span, SpanData, SpanLevel, Trace
from oncue.store import queries
from oncue.store.pool import Tx

MOST_RUNS: Final = 1_000
MOST_LINES: Final = 10_000
MOST_LEVELS: Final = 200
"""A tree that is deeper could not be written."""

_ONE_MS: Final = datetime.timedelta(milliseconds=1)
_LEVELS: Final[dict[Level, SpanLevel]] = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR"}


class FamilyRun(msgspec.Struct, frozen=True):
    """A run of the family."""

    id: uuid.UUID
    status: StoredStatus
    task: str
    queue: str
    parent_id: uuid.UUID | None
    depth: int
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    version: str | None
    machine: str | None
    file: str | None
    now: datetime.datetime


class FamilyLine(msgspec.Struct, frozen=True):
    """A line that one of them has logged."""

    run_id: uuid.UUID
    epoch: int
    number: int
    at: datetime.datetime
    level: Level
    message: str
    fields: str | None


_sql = queries.load("tracing")
_find_root = _sql.maybe("find_root", RunId)
_read_family = _sql.many("read_family", FamilyRun)
_read_lines = _sql.many("read_lines", FamilyLine)


async def read(tx: Tx, environment: Environment, run: uuid.UUID, *, whole: bool = True) -> Trace:
    """Return the family of a run: all of it, or what is below the run.

    At most ``MOST_RUNS`` runs, ``MOST_LEVELS`` levels and ``MOST_LINES`` lines.

    Raises:
        NotFound: There is no such run in the caller's environment.
    """
    root = await _find_root(tx, env_id=environment.id, run_id=run)
    if root is None:
        raise NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
    top = root.run_id if whole else run
    runs = await _read_family(tx, env_id=environment.id, root_id=top, levels=MOST_LEVELS, limit=MOST_RUNS + 1)
    shown = [each for each in runs[:MOST_RUNS] if each.depth < MOST_LEVELS]
    known = {each.id: each for each in shown}
    lines = await _read_lines(tx, env_id=environment.id, run_ids=list(known), limit=MOST_LINES + 1)
    spans = {each.id: _of_run(each) for each in shown}
    for line in lines[:MOST_LINES]:
        spans[line.run_id].children.append(_of_line(known[line.run_id], line))
    for each in shown:
        if each.parent_id is not None and each.id != top:
            spans[each.parent_id].children.append(spans[each.id])
    for span in spans.values():
        span.children.sort(key=lambda child: child.data.start_time)
    return Trace(
        trace_id=root.run_id.hex,
        root_span=spans[top],
        truncated=len(shown) < len(runs) or len(lines) > MOST_LINES,
    )


def _of_run(run: FamilyRun) -> Span:
    seen = status.SHOWN[run.status]
    started = run.started_at or run.created_at
    return Span(
        id=_span_id(run.id),
        parent_id=None if run.parent_id is None else _span_id(run.parent_id),
        run_id=ids.show(ids.RUN, run.id),
        data=SpanData(
            message=run.task,
            task_slug=run.task,
            task_path=run.file,
            start_time=started,
            duration=max(0.0, ((run.finished_at or run.now) - started) / _ONE_MS),
            is_error=seen in status.FINAL and seen not in {"COMPLETED", "CANCELED"},
            is_partial=seen not in status.FINAL,
            is_cancelled=seen == "CANCELED",
            level="TRACE",
            worker_version=run.version,
            queue_name=run.queue,
            machine_preset=run.machine,
        ),
        children=[],
    )


def _of_line(run: FamilyRun, line: FamilyLine) -> Span:
    return Span(
        id=hashlib.blake2s(f"{run.id} {line.epoch} {line.number}".encode(), digest_size=8).hexdigest(),
        parent_id=_span_id(run.id),
        run_id=ids.show(ids.RUN, run.id),
        data=SpanData(
            message=line.message,
            task_slug=run.task,
            start_time=line.at,
            duration=0,
            is_error=line.level == "error",
            is_partial=False,
            is_cancelled=False,
            level=_LEVELS[line.level],
            properties=codec.NOTHING if line.fields is None else msgspec.Raw(line.fields.encode()),
        ),
        children=[],
    )


def _span_id(run: uuid.UUID) -> str:
    return hashlib.blake2s(run.bytes, digest_size=8).hexdigest()
