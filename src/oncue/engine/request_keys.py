"""Request keys: a request that is delivered twice means what it meant the first time.

A key is the caller's ``x-trigger-request-idempotency-key``. Source: wire contract §1.2.

Life of a run, this module's part::

    triggering.trigger_many -> request_keys.first_meant -> the id that the first delivery gave its run
    triggering.trigger_many -> request_keys.point -> or that of the run its own keys stood for
"""

import uuid
from collections.abc import Mapping, Sequence

import msgspec

from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx


class Meant(msgspec.Struct, frozen=True):
    """What a request key was first used for."""

    key: str
    target_id: uuid.UUID
    is_cached: bool = False
    """The answer was that an idempotency key stands for the target."""


_sql = queries.load("request_keys")
_take_keys = _sql.many("take_keys", Meant)
_used_keys = _sql.many("used_keys", Meant)
_point = _sql.none("point")


async def first_meant(tx: Tx, environment: Environment, asked: Mapping[str, uuid.UUID]) -> dict[str, Meant]:
    """Return for each request key what its first delivery meant: the id asked for, if that is now.

    Args:
        asked: Request key to the id that is used if the key is new.
    """
    if not asked:
        return {}
    taken = await _take_keys(tx, env_id=environment.id, keys=list(asked), targets=list(asked.values()))
    meant = {row.key: row for row in taken}
    used = list(asked.keys() - meant.keys())
    if used:
        meant |= {row.key: row for row in await _used_keys(tx, env_id=environment.id, keys=used)}
    return meant


async def point(tx: Tx, environment: Environment, meant: Sequence[Meant]) -> None:
    """Remember that requests, delivered first in this transaction, turned out to mean runs that were there before."""
    await _point(
        tx,
        env_id=environment.id,
        keys=[one.key for one in meant],
        targets=[one.target_id for one in meant],
        cached=[one.is_cached for one in meant],
    )
