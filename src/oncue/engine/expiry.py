"""Expiry: runs that nobody started in time end as EXPIRED.

The clock starts when a run first lines up, after any delay, and stops at its first start; a retry or a resumed wait
does not set it again. It is PostgreSQL's, and expired runs are taken in groups, longest overdue first.

Source: wire contract §8.4.

Life of a run, this module's part::

    triggering, delays, placing: expires_at = now + ttl
    upkeep -> expiry.expire_due: PENDING -> EXPIRED -> finishing.finish_any
"""

import datetime
import uuid
from collections import defaultdict
from typing import Final

import msgspec

from oncue.engine import finishing
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import durations
from oncue.protocol.failures import StringError
from oncue.store import queries
from oncue.store.pool import Tx

GROUP: Final = 1_000
"""Runs expired in one transaction."""


class Overdue(msgspec.Struct, frozen=True):
    """A locked run that was not started in time."""

    env_id: int
    run_id: uuid.UUID
    ttl: datetime.timedelta


_sql = queries.load("expiry")
_lock_overdue = _sql.many("lock_overdue", Overdue)


async def expire_due(tx: Tx, known: dict[int, Environment], *, effects: Effects) -> tuple[int, dict[int, Changes]]:
    """End at most ``GROUP`` runs that were not started in time.

    Returns:
        How many, and by environment what is to be settled.
    """
    overdue = await _lock_overdue(tx, limit=GROUP)
    alike: dict[tuple[int, datetime.timedelta], list[uuid.UUID]] = defaultdict(list)
    for run in overdue:
        alike[run.env_id, run.ttl].append(run.run_id)
    changes: dict[int, Changes] = defaultdict(Changes)
    for (env_id, ttl), runs in sorted(alike.items()):
        await finishing.finish_any(
            tx,
            known[env_id],
            runs,
            status="EXPIRED",
            error=StringError(f"Run expired because the TTL ({durations.show(ttl)}) was reached"),
            changes=changes[env_id],
            effects=effects,
        )
    return len(overdue), changes
