"""Versions: a run that has started under a version of the code goes on under it.

It moves from the line of runs that any version may start to that of its version, in the same lane; nothing else about
its place changes. In development there are no versions: the code is what it is now.

Source: wire contract §8.14.

Life of a run, this module's part::

    claiming.claim -> versions.lock
"""

import uuid
from collections.abc import Sequence

from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx

_sql = queries.load("versions")
_make_held_of_version = _sql.none("make_held_of_version")
_make_lines_of_version = _sql.none("make_lines_of_version")
_join_lines_of_version = _sql.none("join_lines_of_version")
_lock_to_version = _sql.none("lock_to_version")


async def lock(tx: Tx, environment: Environment, runs: Sequence[uuid.UUID], version: str) -> None:
    """Lock runs that were just claimed to the version of their worker, but for those that are locked already."""
    if environment.is_development:
        return
    await _make_held_of_version(tx, env_id=environment.id, run_ids=runs, version=version)
    await _make_lines_of_version(tx, env_id=environment.id, run_ids=runs, version=version)
    await _join_lines_of_version(tx, env_id=environment.id, run_ids=runs, version=version)
    await _lock_to_version(tx, env_id=environment.id, run_ids=runs, version=version)
