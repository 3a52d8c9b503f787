"""Request keys: a request that is delivered twice means what it meant the first time.

A key is the caller's ``x-trigger-request-idempotency-key``. Source: wire contract §1.2.

Life of a run, this module's part::

    triggering.trigger_many -> request_keys.first_targets -> the id that the first delivery gave its run
"""

import uuid
from collections.abc import Mapping

import msgspec

from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx


class Keyed(msgspec.Struct, frozen=True):
    """What a request key was used for before."""

    key: str
    target_id: uuid.UUID


_sql = queries.load("request_keys")
_take_keys = _sql.many("take_keys", Keyed)
_used_keys = _sql.many("used_keys", Keyed)


async def first_targets(tx: Tx, environment: Environment, asked: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """Return for each request key the id that its first delivery used: the one asked for, if that is now.

    Args:
        asked: Request key to the id that is used if the key is new.
    """
    if not asked:
        return {}
    targets = dict(asked)
    taken = await _take_keys(tx, env_id=environment.id, keys=list(asked), targets=list(asked.values()))
    used = list(asked.keys() - {row.key for row in taken})
    if used:
        targets |= {row.key: row.target_id for row in await _used_keys(tx, env_id=environment.id, keys=used)}
    return targets
