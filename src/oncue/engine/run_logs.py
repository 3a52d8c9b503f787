"""Run logs: the lines that tasks attach to their runs.

They are kept whatever became of the execution that wrote them: what a lost attempt had to say is said all the same.

Life of a run, this module's part::

    api/routes/logs -> run_logs.append; run_logs.read
"""

import datetime
import re
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine.rows import Environment, RunId
from oncue.protocol import codec, ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.logs import Level, LogLine, RunEvents, RunEventView
from oncue.store import queries
from oncue.store.pool import Tx

_PLACE: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,18})", re.ASCII)
_LARGEST: Final = 1 << 63
_MOST_ATTEMPTS: Final = 32_767


class Kept(msgspec.Struct, frozen=True):
    """How many lines were stored."""

    count: int


class LineRow(msgspec.Struct, frozen=True):
    """A stored line."""

    epoch: int
    number: int
    attempt: int
    at: datetime.datetime
    level: Level
    message: str
    fields: str | None


_sql = queries.load("run_logs")
_append_lines = _sql.one("append_lines", Kept)
_find_run = _sql.maybe("find_run", RunId)
_read_lines = _sql.many("read_lines", LineRow)


def check(lines: Sequence[LogLine]) -> None:
    """Refuse lines that cannot be stored.

    Raises:
        BadRequest: Names the line's index and the field.
    """
    for index, line in enumerate(lines):
        where = f"lines[{index}]"
        ids.parse(ids.RUN, line.run_id)
        if not 0 <= line.epoch < 1 << 31 or not 0 <= line.number < _LARGEST:
            raise BadRequest(f"{where}: epoch={line.epoch} or number={line.number} is out of range")
        if not 1 <= line.attempt <= _MOST_ATTEMPTS:
            raise BadRequest(f"{where}.attempt={line.attempt} is out of range; expected 1 to {_MOST_ATTEMPTS:,}")
        if line.at.tzinfo is None:
            raise BadRequest(f"{where}.at={line.at.isoformat()} has no time zone; expected one, such as Z")
        if "\0" in line.message:
            raise BadRequest(f"{where}.message holds a NUL character, which cannot be stored")
        if line.fields:
            codec.checked(bytes(line.fields), f"{where}.fields")
            if not bytes(line.fields).lstrip().startswith(b"{"):
                raise BadRequest(f"{where}.fields is {bytes(line.fields)[:60]!r}; expected a JSON object")


async def append(tx: Tx, environment: Environment, lines: Sequence[LogLine]) -> int:
    """Store lines that were checked; those of runs that are not in the environment are passed over.

    Returns:
        How many are new.
    """
    row = await _append_lines(
        tx,
        env_id=environment.id,
        run_ids=[ids.parse(ids.RUN, line.run_id) for line in lines],
        epochs=[line.epoch for line in lines],
        numbers=[line.number for line in lines],
        attempts=[line.attempt for line in lines],
        ats=[line.at for line in lines],
        levels=[line.level for line in lines],
        messages=[line.message for line in lines],
        fields=[bytes(line.fields).decode() if line.fields else None for line in lines],
    )
    return row.count


async def read(tx: Tx, environment: Environment, run: uuid.UUID, *, after: str | None, limit: int) -> RunEvents:
    """Return a run's lines, oldest first.

    Args:
        after: Id of the last line that is known; None: from the first.
        limit: The most lines, 1 or more.

    Raises:
        NotFound: There is no such run in the caller's environment.
        BadRequest: ``after`` is no line's id.
    """
    epoch, number = _place(after)
    if await _find_run(tx, env_id=environment.id, run_id=run) is None:
        raise NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
    rows = await _read_lines(tx, env_id=environment.id, run_id=run, epoch=epoch, number=number, limit=limit + 1)
    events = [_view(row) for row in rows[:limit]]
    return RunEvents(events, next=events[-1].id if len(rows) > limit else None)


def _place(after: str | None) -> tuple[int, int]:
    if after is None:
        return -1, -1
    match = _PLACE.fullmatch(after)
    if match is None:
        raise BadRequest(f"after={after[:60]!r} is no event's id; expected the `next` of an earlier answer")
    return int(match[1]), int(match[2])


def _view(row: LineRow) -> RunEventView:
    return RunEventView(
        id=f"{row.epoch}-{row.number}",
        attempt=row.attempt,
        at=row.at,
        level=row.level,
        message=row.message,
        fields=codec.NOTHING if row.fields is None else msgspec.Raw(row.fields.encode()),
    )
