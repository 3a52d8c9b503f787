"""Retention: what is too old to be kept goes, by the day on which it was triggered.

Runs go with the partition of their day, which costs the same however many they are. A day with a run that has not ended
stays as it is, and so does everything since the oldest run in progress was triggered: started again from the top, it
asks for what its children returned.

Life of a run, this module's part::

    api/upkeep -> upkeep.forget_old -> retention.first_kept, drop_day, delete_group
"""

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.store import queries
from oncue.store.pool import Tx

GROUP: Final = 5_000
"""Rows that go in one transaction."""


class Day(msgspec.Struct, frozen=True):
    """A day, in UTC."""

    day: datetime.date


class Dropped(msgspec.Struct, frozen=True):
    """Whether a day's runs are gone."""

    dropped: bool


_sql = queries.load("retention")
_first_kept = _sql.one("first_kept", Day)
_old_days = _sql.many("old_days", Day)
_drop_day = _sql.one("drop_day", Dropped)
_days_of_objects = _sql.many("days_of_objects", Day)
_delete_strays = _sql.none("delete_strays")
_delete_logs = _sql.none("delete_logs")
_delete_chunks = _sql.none("delete_chunks")
_delete_streams = _sql.none("delete_streams")
_delete_inputs = _sql.none("delete_inputs")
_delete_links = _sql.none("delete_links")
_delete_batches = _sql.none("delete_batches")
_delete_bulk_runs = _sql.none("delete_bulk_runs")
_delete_bulk_actions = _sql.none("delete_bulk_actions")
_delete_waitpoints = _sql.none("delete_waitpoints")

_DELETIONS: Final = (
    _delete_logs,
    _delete_chunks,
    _delete_streams,
    _delete_inputs,
    _delete_links,
    _delete_batches,
    _delete_bulk_runs,
    _delete_bulk_actions,
    _delete_waitpoints,
)


async def first_kept(tx: Tx, keep: datetime.timedelta) -> datetime.date:
    """Return the first day whose runs are kept.

    Args:
        keep: For how many whole days runs are kept.
    """
    return (await _first_kept(tx, days=keep.days)).day


async def old_days(tx: Tx, before: datetime.date) -> list[datetime.date]:
    """Return the days before another that still have their runs, oldest first."""
    return [row.day for row in await _old_days(tx, before=before)]


async def drop_day(tx: Tx, day: datetime.date) -> bool:
    """Delete the runs of a day; return whether they are gone.

    They stay where one of them has not ended, where another server is at it, and for now where somebody has been
    reading runs for long: others would have to wait for him too.
    """
    return (await _drop_day(tx, day=day)).dropped


async def days_of_objects(tx: Tx, before: datetime.date) -> set[datetime.date]:
    """Return the days of the objects that runs name which are older than a day, and are still there."""
    return {row.day for row in await _days_of_objects(tx, before=before)}


async def delete_group(tx: Tx, before: datetime.date, left: Sequence[datetime.date]) -> bool:
    """Delete a group of each kind of row that belongs to runs before a day; return whether there may be more.

    Args:
        before: The day.
        left: Days before it that still have their runs, and what belongs to these.
    """
    deleted = [await _delete_strays(tx, before=before, limit=GROUP)]
    deleted += [await delete(tx, before=before, left=left, limit=GROUP) for delete in _DELETIONS]
    return max(deleted) == GROUP
