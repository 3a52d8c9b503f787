"""What the database says of an environment, and the promises that its rows alone must keep, whatever a model thinks."""

import datetime
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from oncue.engine.rows import Environment
from oncue.store.pool import Tx

_RUNS = """
select coalesce(run.id, live.run_id) as id, run.id is not null as is_stored, run.queue, run.concurrency_key,
    run.status::text as ended_as, live.status::text as stands_as, live.worker_id, live.due_at, live.expires_at,
    coalesce(run.epoch, live.epoch) as epoch, live.ord, live.attempt, live.waits_left, run.delay_until, run.created_at,
    coalesce(run.started_at, live.started_at) as started_at, run.finished_at, run.payload, run.max_attempts,
    run.parent_id
from (select * from oncue.runs where env_id = $1) as run
full join (select * from oncue.live where env_id = $1) as live on live.run_id = run.id
order by 1
"""

_LANES = """
select queue.name, nullif(lane.concurrency_key, '') as key, lane.slots, lane.running,
    coalesce(queue.override_limit, queue.code_limit) as queue_limit
from oncue.lanes as lane
join oncue.queues as queue on queue.id = lane.queue_id
where queue.env_id = $1
"""

_WAITS = "select run_id, target_id from oncue.waits where env_id = $1 and settled_at is null"

_NOTICES = """
select worker_id, run_id, epoch, target_id, resumes
from oncue.notices
where env_id = $1
"""


@dataclass(frozen=True)
class Rows:
    runs: dict[uuid.UUID, Any]
    lanes: dict[tuple[str, str | None], Any]
    waits: list[tuple[uuid.UUID, uuid.UUID]]
    notices: Counter[tuple[Any, ...]]

    def status(self, run: uuid.UUID) -> str:
        row = self.runs[run]
        return str(row["ended_as"] or row["stands_as"])


@dataclass
class Promises:
    """Holds rows against those seen before."""

    final: dict[uuid.UUID, tuple[str, datetime.datetime]] = field(default_factory=dict)
    executing: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def hold(self, rows: Rows) -> None:
        for run, row in rows.runs.items():
            assert row["is_stored"], f"{run} stands in line and was never stored"
            assert (row["ended_as"] is None) != (row["stands_as"] is None), f"{run} has not exactly one status"
            assert row["started_at"] is None or row["started_at"] >= (row["delay_until"] or row["created_at"]), (
                f"{run} started before its time"
            )
            if row["ended_as"] is not None:
                ending = row["ended_as"], row["finished_at"]
                assert self.final.setdefault(run, ending) == ending, f"{run} ended twice"
        assert self.final.keys() <= rows.runs.keys(), "a run that had ended is gone"
        self._hold_limits(rows)
        self._hold_waits(rows)

    def _hold_limits(self, rows: Rows) -> None:
        now = Counter(
            (row["queue"], row["concurrency_key"]) for row in rows.runs.values() if row["stands_as"] == "EXECUTING"
        )
        for name, lane in rows.lanes.items():
            assert lane["slots"] == lane["queue_limit"], f"lane {name} has another limit than its queue"
            if lane["slots"] is None:
                continue
            assert lane["running"] == now[name], f"lane {name} counts what does not execute"
            # A limit may be lowered below what executes; then nothing starts until there is room.
            assert now[name] <= max(lane["slots"], self.executing[name]), f"lane {name} executes more than its limit"
        self.executing = now

    def _hold_waits(self, rows: Rows) -> None:
        outstanding = {run for run, target in rows.waits if rows.runs[target]["ended_as"] is None}
        for run, row in rows.runs.items():
            if row["stands_as"] != "WAITING_TO_RESUME" or run in outstanding:
                continue
            lane = rows.lanes[row["queue"], row["concurrency_key"]]
            assert row["waits_left"] == 0, f"{run} waits for what has ended"
            assert lane["slots"] is not None, f"{run} waits for a slot where there is no limit"
            assert lane["running"] >= lane["slots"], f"{run} waits for a slot although one is free"


async def read(tx: Tx, environment: Environment) -> Rows:
    """Read all that there is of an environment."""
    runs = await tx.fetch(_RUNS, environment.id)
    lanes = await tx.fetch(_LANES, environment.id)
    waits = await tx.fetch(_WAITS, environment.id)
    notices = await tx.fetch(_NOTICES, environment.id)
    return Rows(
        {row["id"]: row for row in runs},
        {(row["name"], row["key"]): row for row in lanes},
        [(row["run_id"], row["target_id"]) for row in waits],
        Counter(tuple(row) for row in notices),
    )
