"""Run tags: add tags to a run that is there.

Tags that are added at once are all kept, for each addition waits for the other's row. They stay sorted, as those given
with a trigger are.

Source: wire contract §5.

Life of a run, this module's part::

    api/routes/run_documents -> run_tags.plan, add
"""

import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import ids, limits
from oncue.protocol.errors import BadRequest, NotFound, UnprocessableRequest
from oncue.store import queries
from oncue.store.pool import Tx


class Tagged(msgspec.Struct, frozen=True):
    """A run's tags."""

    tags: list[str]


_sql = queries.load("run_tags")
_lock_tags = _sql.maybe("lock_tags", Tagged)
_store_tags = _sql.none("store_tags")


def plan(tags: str | Sequence[str]) -> list[str]:
    """Read the tags of a request; blank ones are left out.

    Raises:
        BadRequest: One is too long.
    """
    wanted = [tag for tag in ([tags] if isinstance(tags, str) else tags) if tag.strip()]
    for tag in wanted:
        if len(tag) > limits.MAX_TAG_LENGTH:
            raise BadRequest(f"tags: {tag[:60]!r} has {len(tag)} characters; expected 1 to {limits.MAX_TAG_LENGTH}")
    return wanted


async def add(tx: Tx, environment: Environment, run: uuid.UUID, tags: Sequence[str], *, effects: Effects) -> int:
    """Add tags to a run; those it has already are passed over.

    Args:
        tags: From ``plan``.

    Returns:
        How many were new.

    Raises:
        NotFound: There is no such run in the caller's environment.
        UnprocessableRequest: It would have too many; none is added.
    """
    row = await _lock_tags(tx, env_id=environment.id, run_id=run)
    if row is None:
        raise NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
    together = sorted({*row.tags, *tags})
    added = len(together) - len(row.tags)
    if added and len(together) > limits.MAX_TAGS:
        raise UnprocessableRequest(
            f"tags: run {ids.show(ids.RUN, run)} has {len(row.tags)}, and {added} more would make {len(together)}; at "
            f"most {limits.MAX_TAGS} are accepted"
        )
    if added:
        await _store_tags(tx, env_id=environment.id, run_id=run, tags=together)
        effects.change(environment, [run])
    return added
