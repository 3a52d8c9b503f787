"""Partitions: history by day, so that it can be dropped by day and never slows the present."""

import datetime
from typing import Final

import msgspec

from oncue.store import queries
from oncue.store.pool import Tx

DAYS_BEHIND: Final = 1
"""A caller's clock may be behind ours, and ids carry the caller's time."""

DAYS_AHEAD: Final = 3
"""So many days can pass without upkeep before runs land in the default partition."""

KEEP_REQUEST_KEYS: Final = datetime.timedelta(hours=24)
"""A request that is sent again later than this counts as a new one. Source: wire contract §2.1."""


class Made(msgspec.Struct, frozen=True):
    """How many partitions were missing."""

    made: int


_sql = queries.load("partitions")
_make_ahead = _sql.one("make_ahead", Made)
_forget_request_keys = _sql.none("forget_request_keys")


async def make_ahead(tx: Tx) -> int:
    """Make the partitions of yesterday, today and the coming days; returns how many were missing."""
    return (await _make_ahead(tx, behind=DAYS_BEHIND, ahead=DAYS_AHEAD)).made


async def forget_request_keys(tx: Tx) -> int:
    """Drop request keys that are too old to be sent again; returns how many."""
    return await _forget_request_keys(tx, age=KEEP_REQUEST_KEYS)
