"""Run facts: what a public access token may name a run by besides its id: its task, its tags, its batches."""

import uuid

import msgspec

from oncue.engine import batch_links
from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx


class RunFacts(msgspec.Struct, frozen=True):
    """What a run is known by."""

    task: str
    tags: list[str]
    batches: list[uuid.UUID]
    """Of which it is an item, or stands for one."""


_sql = queries.load("run_facts")
_find = _sql.maybe("find", RunFacts)


async def find(tx: Tx, environment: Environment, run: uuid.UUID) -> RunFacts | None:
    """Return what a run is known by; None where there is none in this environment.

    Args:
        tx: The transaction.
        environment: Where to look.
        run: Its id, or that of a batch's item which stands for it.
    """
    facts = await _find(tx, env_id=environment.id, run_id=run)
    if facts is not None:
        return facts
    stood_for = await batch_links.run_of(tx, environment, run)
    return None if stood_for is None else await _find(tx, env_id=environment.id, run_id=stood_for)
