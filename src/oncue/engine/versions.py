"""Versions: a run that has started under a version of the code goes on under it.

As it is claimed a run moves from the line of runs that any version may start to that of its worker's version, in the
same lane; nothing else about its place changes. The claim itself does that, but for runs that are held to a machine,
for which ``lock`` does. In development there are no versions: the code is what it is now.

Where the operator names no version one is made of the code: the same for the same code, so that a worker that is
merely restarted finds its runs. It holds while a worker has it. What it leaves behind for a while is then given to
workers whose version was made as well, until one of its own is back: nobody has promised that there will be one again.

Source: wire contract §8.14.

Life of a run, this module's part::

    claiming.claim -> versions.lock
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx

PATIENCE: Final = datetime.timedelta(seconds=15)
"""How long a run waits for a worker of its version before others may have it."""


class VersionName(msgspec.Struct, frozen=True):
    """A version."""

    name: str


class WorkerId(msgspec.Struct, frozen=True):
    """A worker that was given tasks."""

    id: uuid.UUID


_sql = queries.load("versions")
_find_version = _sql.maybe("find_version", VersionName)
_lock_numbers = _sql.none("lock_numbers")
_make_version = _sql.one("make_version", VersionName)
_adopt = _sql.many("adopt", WorkerId)
_take_back = _sql.none("take_back")
_make_held_of_version = _sql.none("make_held_of_version")
_make_lines_of_version = _sql.none("make_lines_of_version")
_join_lines_of_version = _sql.none("join_lines_of_version")


async def made(tx: Tx, environment: Environment, fingerprint: str) -> str:
    """Return the version of some code, ``YYYYMMDD.N`` by the day (UTC) on which it was first seen."""
    known = await _find_version(tx, env_id=environment.id, fingerprint=fingerprint)
    if known is None:
        await _lock_numbers(tx, env_id=environment.id)
        known = await _make_version(tx, env_id=environment.id, fingerprint=fingerprint)
    return known.name


async def adopt(tx: Tx, environment: Environment) -> int:
    """Give what made versions have left behind to workers of others; returns how many workers were given something."""
    return len(await _adopt(tx, env_id=environment.id, patience=PATIENCE))


async def take_back(tx: Tx, environment: Environment, version: str, tasks: Sequence[int]) -> None:
    """Take from workers of other versions what they have adopted of one that has a worker again."""
    await _take_back(tx, env_id=environment.id, version=version, tasks=tasks)


async def lock(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], version: str) -> None:
    """Let runs that were just claimed stand in the lines of their worker's version, if they stand in any version's."""
    await _make_held_of_version(tx, env_id=environment.id, run_ids=runs, version=version)
    await _make_lines_of_version(tx, env_id=environment.id, run_ids=runs, version=version)
    await _join_lines_of_version(tx, env_id=environment.id, run_ids=runs, version=version)
