"""Rescheduling: hold a delayed run until another moment.

Only a run that is still held for its ``delay``, or by a debounce key, can be moved: one that has lined up may be
starting now. Its place in line follows the new moment, as if it had been triggered so.

Source: wire contract §2.7, §8.5.

Life of a run, this module's part::

    api/routes/run_changes -> rescheduling.reschedule: DELAYED -> DELAYED
"""

import datetime
import uuid

import msgspec

from oncue.engine import option_rules, reading
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import status
from oncue.protocol.errors import BadRequest, UnprocessableRequest
from oncue.protocol.runs import RunView
from oncue.protocol.status import Words
from oncue.store import queries
from oncue.store.pool import Tx


class NewTime(msgspec.Struct, frozen=True):
    """When a run is to be due; one of the two."""

    delay: datetime.timedelta | None
    """Counted from the moment it is applied."""
    until: datetime.datetime | None


class Held(msgspec.Struct, frozen=True):
    """A delayed run, locked."""

    is_ahead: bool
    """The new moment has not passed."""


_sql = queries.load("rescheduling")
_lock_delayed = _sql.many("lock_delayed", Held)
_reschedule = _sql.none("reschedule")


def plan(delay: str) -> NewTime:
    """Read when a run is to be due.

    Args:
        delay: A duration such as ``2h30m``, or an ISO date; without a zone it is UTC.

    Raises:
        BadRequest: It is neither.
    """
    try:
        return NewTime(*option_rules.read_delay(delay))
    except UnprocessableRequest:
        raise BadRequest(
            f'Invalid delay: found {delay[:60]!r}; expected a duration such as "1h" or "2h30m", or a date such as '
            '"2030-12-01T00:00:00Z"'
        ) from None


async def reschedule(
    tx: Tx,
    environment: Environment,
    run: uuid.UUID,
    when: NewTime,
    *,
    words: Words = status.SHOWN,
    effects: Effects,
) -> RunView:
    """Hold a delayed run until another moment, earlier or later, and return it as it stands then.

    Statuses are called by ``words``.

    Raises:
        BadRequest: The run is not delayed (any more), or the moment has passed.
        NotFound: There is no such run in the caller's environment.
    """
    held = await _lock_delayed(tx, env_id=environment.id, run_id=run, delay=when.delay, delay_until=when.until)
    if not held:
        found = await reading.retrieve(tx, environment, run)
        raise BadRequest(f"Cannot reschedule a run that is not delayed: {found.id} is {found.status}")
    if not held[0].is_ahead:
        given = when.until.isoformat() if when.until else "no time at all"
        raise BadRequest(f"Invalid delay: found {given}; expected a moment that has not passed")
    await _reschedule(tx, env_id=environment.id, run_id=run, delay=when.delay, delay_until=when.until)
    effects.due_sooner = True
    effects.change(environment, [run])
    return await reading.retrieve(tx, environment, run, words=words)
