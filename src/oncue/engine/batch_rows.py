"""Batch rows: a batch as it is stored, and whether it takes items."""

import datetime
import uuid

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.errors import UnprocessableRequest
from oncue.store import queries
from oncue.store.pool import Tx


class BatchRow(msgspec.Struct, frozen=True):
    """A batch as it stands."""

    id: uuid.UUID
    run_count: int
    filled: int
    ended: int
    sealed_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    aborted: str | None
    parent_id: uuid.UUID | None
    waits: bool
    created_at: datetime.datetime
    open: bool
    """How many items it has is not known; ``run_count`` is the most."""
    idempotency_key: str | None
    tasks_hash: bytes | None
    """Of the tasks that its creation named; None: it named none."""

    @property
    def is_sealed(self) -> bool:
        """Whether it takes no more items."""
        return self.sealed_at is not None


_sql = queries.load("batch_rows")
_load = _sql.maybe("load", BatchRow)
_lock = _sql.maybe("lock", BatchRow)


async def load(tx: Tx, environment: Environment, batch: uuid.UUID) -> BatchRow | None:
    """Return a batch of the caller's environment as it stands."""
    return await _load(tx, env_id=environment.id, id=batch)


async def lock(tx: Tx, environment: Environment, batch: uuid.UUID) -> BatchRow | None:
    """Return a batch, locked against others that fill it and runs of it that end."""
    return await _lock(tx, env_id=environment.id, id=batch)


def usable(row: BatchRow | None, batch: uuid.UUID) -> BatchRow:
    """Return a batch that items can be sent to, or that is sealed already.

    Raises:
        UnprocessableRequest: There is none, or it was given up.
    """
    shown = ids.show(ids.BATCH, batch)
    if row is None:
        raise UnprocessableRequest(f"Batch {shown} not found")
    if row.aborted is not None:
        raise UnprocessableRequest(f"Batch {shown} is not PENDING: it was aborted ({row.aborted})")
    return row
