"""Matching: which run a request stands for: a new one, or one that is there already.

Asked in this order, the first answer counts: the request was delivered before; its idempotency key has a run; its
debounce key has a held run. All keys of one kind are locked before those of the next, each kind in order of its names,
so transactions cannot wait for each other in a circle.

Source: wire contract §8.6 and §8.7: idempotency is looked at first.

Life of a run, this module's part::

    triggering.trigger_many, batches.fill -> matching.match -> Matches
"""

import uuid
from collections.abc import Collection, Sequence

import msgspec

from oncue.engine import debouncing, idempotency
from oncue.engine.debouncing import Push
from oncue.engine.requests import NewRun
from oncue.engine.rows import Environment, RunId
from oncue.store import queries
from oncue.store.pool import Tx

_sql = queries.load("matching")
_present = _sql.many("present", RunId)


class Matches(msgspec.Struct, frozen=True):
    """What requests stand for, by the id that a new run would have."""

    cached: dict[uuid.UUID, uuid.UUID]
    """The run of an idempotency key."""
    merged: dict[uuid.UUID, uuid.UUID]
    """The held run of a debounce key."""
    pushes: list[Push]
    """What debounced calls do to the runs they fall into; to be carried out when all runs are there."""

    def target(self, run: NewRun) -> uuid.UUID:
        """Return the id of the run that a request stands for."""
        return self._end(self.cached.get(run.run_id) or self.merged.get(run.run_id) or run.run_id)

    def is_new(self, run: NewRun) -> bool:
        """Whether a run has to be made, unless its id is there already."""
        return run.run_id not in self.cached and run.run_id not in self.merged

    def _end(self, run: uuid.UUID) -> uuid.UUID:
        # A call may share its idempotency key with one of the same group that was itself debounced.
        return self.merged.get(run, run)


async def match(
    tx: Tx, environment: Environment, runs: Sequence[NewRun], *, settled: Collection[uuid.UUID] = ()
) -> Matches:
    """Lock the keys of requests and say what each stands for.

    Args:
        settled: Ids of requests about which this was decided when they were delivered first.
    """
    keyed = [run for run in runs if run.idempotency is not None or run.debounce is not None]
    if not keyed:
        return Matches({}, {}, [])
    present = {row.run_id for row in await _present(tx, env_id=environment.id, run_ids=[run.run_id for run in keyed])}
    open_ = [run for run in keyed if run.run_id not in present and run.run_id not in settled]
    cached = await idempotency.find(tx, environment, open_)
    uncached = [run for run in open_ if run.run_id not in cached]
    merged, pushes = await debouncing.find(tx, environment, uncached)
    await idempotency.point(tx, environment, [(run, merged[run.run_id]) for run in uncached if run.run_id in merged])
    return Matches(cached, merged, pushes)
