"""Sweeping: every counter held against the rows it stands for.

Counters and rows change in one transaction, so a single statement's snapshot must show them equal. A difference is a
bug in the engine: it is corrected under lock, so that runs go on, and counted as ``invariant.violated``.
"""

import msgspec

from oncue.engine import dispatch
from oncue.engine.dispatch import Changes
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.store import queries
from oncue.store.pool import Tx


class Violation(msgspec.Struct, frozen=True):
    """A counter that differs from its rows."""

    id: int
    what: str
    counted: int
    found: int


_sql = queries.load("sweeping")
_find_lanes = _sql.many("find_lanes", Violation)
_find_lines = _sql.many("find_lines", Violation)
_correct_lanes = _sql.none("correct_lanes")
_correct_lines = _sql.none("correct_lines")


async def sweep(tx: Tx, environment: Environment, *, effects: Effects) -> int:
    """Find and correct counters that differ from their rows; returns how many did."""
    lanes = await _find_lanes(tx, env_id=environment.id)
    lines = await _find_lines(tx, env_id=environment.id)
    if not lanes and not lines:
        return 0
    await dispatch.lock(tx, lines=[line.id for line in lines], lanes=[lane.id for lane in lanes])
    if lanes:
        await _correct_lanes(tx, ids=[lane.id for lane in lanes])
    if lines:
        await _correct_lines(tx, ids=[line.id for line in lines])
    for violation in (*lanes, *lines):
        effects.tell(
            "invariant.violated",
            what=violation.what,
            id=violation.id,
            counted=violation.counted,
            found=violation.found,
        )
    changes = Changes()
    changes.freed.update(dict.fromkeys((lane.id for lane in lanes), 0))
    await dispatch.settle(tx, environment, changes, effects=effects)
    effects.line_up(environment, len(lanes) + len(lines))
    return len(lanes) + len(lines)
