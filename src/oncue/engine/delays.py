"""Delays: runs held until their time, new ones and those between two attempts.

They are released by PostgreSQL's clock, longest overdue first, in groups; a million of them cost nothing until due.

Life of a run, this module's part::

    upkeep -> delays.release_due: DELAYED, RETRYING_AFTER_FAILURE -> PENDING
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.store import queries
from oncue.store.pool import Tx

GROUP: Final = 1_000
"""Runs released in one transaction."""


class Due(msgspec.Struct, frozen=True):
    """A run whose time has come; without a line its task is not known, and it is parked."""

    env_id: int
    run_id: uuid.UUID
    line_id: int | None


class NextDue(msgspec.Struct, frozen=True):
    """How long until the next held run is due."""

    wait: datetime.timedelta | None


_sql = queries.load("delays")
_release_due = _sql.many("release_due", Due)
_next_due = _sql.one("next_due", NextDue)


async def release_due(tx: Tx, *, limit: int = GROUP) -> Sequence[Due]:
    """Put at most ``limit`` runs whose time has come in line; the caller counts them into their lines."""
    return await _release_due(tx, limit=limit)


async def next_due(tx: Tx) -> datetime.timedelta | None:
    """Return how long until the next held run is due, negative if it is overdue; None if none is held."""
    return (await _next_due(tx)).wait
