"""What the life of runs promises, without SQL, locks or counters: every answer is looked up among all runs.

The machine in ``test_life_of_runs.py`` does everything twice, here and in the engine, and compares. Where the engine
may choose, which line gets its turn, the model says whether the choice is allowed and follows it.

Source: wire contract §8; docs/explanation/run-states.md.
"""

import datetime
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from oncue.engine.option_rules import Debounce
from oncue.protocol.status import FinalStatus, StoredStatus

LONGEST_TTL: Final = datetime.timedelta(days=14)
FINAL: Final = frozenset({"COMPLETED_SUCCESSFULLY", "COMPLETED_WITH_ERRORS", "CANCELED", "EXPIRED"})
KEYLESS: Final = frozenset({"COMPLETED_WITH_ERRORS", "EXPIRED"})
"""How a run ends that does not keep its idempotency key."""

Lane = tuple[str, str | None]
Told = tuple[uuid.UUID | None, uuid.UUID, int, uuid.UUID | None, bool]
"""A notice: worker, run, epoch, what it had waited for (None: it is to stop), whether it goes on."""


@dataclass
class Queue:
    declared: int | None
    override: int | None = None
    paused: bool = False

    @property
    def limit(self) -> int | None:
        return self.declared if self.override is None else self.override


@dataclass(frozen=True)
class Task:
    queue: str
    attempts: int
    ttl: datetime.timedelta | None


@dataclass(frozen=True, kw_only=True)
class Call:
    """A trigger: of ``task``, and what else is said."""

    run_id: uuid.UUID
    task: str
    payload: int
    queue: str | None = None
    concurrency_key: str | None = None
    delay: datetime.timedelta | None = None
    ttl: datetime.timedelta | None = None
    priority: int = 0
    max_attempts: int | None = None
    idempotency_key: str | None = None
    lifetime: datetime.timedelta = datetime.timedelta(days=30)
    debounce: Debounce | None = None
    parent: uuid.UUID | None = None
    waits: bool = False


@dataclass
class Wait:
    settled: bool = False
    told: bool = False


@dataclass
class Run:
    id: uuid.UUID
    task: str
    lane: Lane
    priority: int
    ttl: datetime.timedelta
    max_attempts: int | None
    payload: int
    parent: uuid.UUID | None
    created: datetime.datetime
    first_in_line: datetime.datetime
    """When it lines up for the first time: it stands in line by this moment, for ever."""
    status: StoredStatus
    due: datetime.datetime | None = None
    expires: datetime.datetime | None = None
    started: datetime.datetime | None = None
    epoch: int = 0
    attempt: int = 1
    worker: uuid.UUID | None = None
    waits: dict[uuid.UUID, Wait] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def is_held(self) -> bool:
        return self.status in {"EXECUTING", "WAITING_TO_RESUME"} and self.worker is not None

    @property
    def waits_left(self) -> int:
        return sum(not wait.settled for wait in self.waits.values())

    @property
    def is_resuming(self) -> bool:
        return self.status == "WAITING_TO_RESUME" and not self.waits_left

    @property
    def place(self) -> tuple[datetime.datetime, uuid.UUID]:
        return self.first_in_line - datetime.timedelta(seconds=self.priority), self.id


class Model:
    def __init__(self, tasks: dict[str, Task], queues: dict[str, Queue], now: datetime.datetime) -> None:
        self.tasks, self.queues, self.now = tasks, queues, now
        self.unknown: set[str] = set()
        """Tasks that no worker has announced yet."""
        self.runs: dict[uuid.UUID, Run] = {}
        self.keys: dict[tuple[str, str], tuple[uuid.UUID, datetime.datetime]] = {}
        self.debounces: dict[tuple[str, str], tuple[uuid.UUID, datetime.datetime | None]] = {}
        self.told: list[Told] = []

    # What is asked.

    def live(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.is_final]

    def room(self, lane: Lane) -> int | None:
        """How many new runs of a lane may start; None: any number. Those whose wait is over go before them."""
        limit = self.queues[lane[0]].limit
        if limit is None:
            return None
        ahead = sum(run.lane == lane and (run.status == "EXECUTING" or run.is_resuming) for run in self.live())
        return max(limit - ahead, 0)

    def match(self, call: Call) -> tuple[uuid.UUID, bool]:
        """Return the run that a call stands for, and whether its idempotency key says so."""
        if call.idempotency_key is not None and (held := self.keys.get((call.task, call.idempotency_key))):
            run, until = held
            if until > self.now and self.runs[run].status not in KEYLESS:
                return run, True
        if call.debounce is not None and (held_run := self.debounces.get((call.task, call.debounce.key))):
            run = held_run[0]
            if self.runs[run].status in {"DELAYED", "PENDING_VERSION"}:
                return run, False
        return call.run_id, False

    def waits_for(self, run: uuid.UUID, other: uuid.UUID) -> bool:
        """Whether a run cannot go on before another has ended."""
        targets = [] if run not in self.runs else [t for t, w in self.runs[run].waits.items() if not w.settled]
        return other in targets or any(self.waits_for(target, other) for target in targets)

    # What happens.

    def trigger(self, call: Call) -> tuple[uuid.UUID, bool] | None:
        """Return (run, whether it is cached); None where the call would wait for the run it comes from."""
        target, is_cached = self.match(call)
        if call.waits and target == call.parent:
            return None
        if not is_cached:
            if call.idempotency_key is not None:
                self.keys[call.task, call.idempotency_key] = target, self.now + call.lifetime
            if target == call.run_id:
                self._make(call)
            else:
                self._push(self.runs[target], call)
        if call.waits:
            assert call.parent is not None
            self._park(self.runs[call.parent], target)
        self._let_go_on()
        return target, is_cached

    def claim(
        self,
        worker: uuid.UUID,
        claimed: Sequence[uuid.UUID],
        *,
        tasks: Collection[str],
        queues: Collection[str] | None,
        places: int,
    ) -> None:
        """Follow a claim, if it was allowed."""
        within_reach = [
            run
            for run in self.live()
            if run.status == "PENDING"
            and run.task in tasks
            and (queues is None or run.lane[0] in queues)
            and not self.queues[run.lane[0]].paused
            and self.room(run.lane) != 0
        ]
        within_reach.sort(key=lambda run: run.place)
        taken = [run for run in within_reach if run.id in set(claimed)]
        assert [run.id for run in taken] == list(claimed), "runs that must not start now, or in the wrong order"
        assert len(taken) <= places
        assert taken or not within_reach, "nothing was handed out although there is something"
        for lane in {run.lane for run in taken}:
            room = self.room(lane)
            assert room is None or sum(run.lane == lane for run in taken) <= room, "more than the lane has room for"
        for line in {(run.lane, run.task) for run in taken}:
            head = [run for run in within_reach if (run.lane, run.task) == line]
            mine = [run for run in taken if (run.lane, run.task) == line]
            assert mine == head[: len(mine)], "a run overtook another of its line"
        for run in taken:
            run.status, run.worker, run.expires = "EXECUTING", worker, None
            run.epoch += 1
            run.started = run.started or self.now

    def complete(self, runs: Iterable[Run]) -> None:
        self._end(runs, "COMPLETED_SUCCESSFULLY")

    def fail(self, run: Run, *, retryable: bool, after: datetime.timedelta | None) -> None:
        if not retryable or run.attempt >= (run.max_attempts or self.tasks[run.task].attempts):
            self._end([run], "COMPLETED_WITH_ERRORS")
            return
        run.status = "RETRYING_AFTER_FAILURE"
        run.due = self.now + (datetime.timedelta(seconds=2 ** (run.attempt - 1)) if after is None else after)
        run.attempt += 1
        self._leave_worker(run)

    def hand_back(self, run: Run) -> None:
        run.status = "PENDING"
        self._leave_worker(run)

    def unload(self, run: Run, waits_for: Collection[uuid.UUID]) -> None:
        if any(run.waits[target].settled for target in waits_for):
            self.hand_back(run)
        else:
            run.worker = None

    def cancel(self, run: Run) -> None:
        """End a run and, below it, all that are in progress."""
        family = [] if run.is_final else [run]
        for member in family:
            family += [child for child in self.live() if child.parent == member.id]
        self.told += [(one.worker, one.id, one.epoch, None, False) for one in family if one.worker is not None]
        self._end(family, "CANCELED")

    def reschedule(self, run: Run, delay: datetime.timedelta) -> bool:
        if run.status != "DELAYED" or not delay:
            return False
        run.due = run.first_in_line = self.now + delay
        return True

    def change_queue(self, name: str, *, paused: bool, override: int | None) -> None:
        self.queues[name].paused, self.queues[name].override = paused, override
        self._let_go_on()

    def announce(self, task: str) -> None:
        self.unknown.discard(task)
        for run in self.live():
            if run.status == "PENDING_VERSION" and run.task == task:
                run.status, run.expires = "PENDING", self.now + run.ttl

    def release_due(self) -> None:
        for run in self.live():
            if run.due is not None and run.due <= self.now:
                if run.task in self.unknown:
                    run.status = "PENDING_VERSION"
                else:
                    run.expires = self.now + run.ttl if run.status == "DELAYED" else None
                    run.status = "PENDING"
                run.due = None

    def expire_due(self) -> int:
        late = [run for run in self.live() if run.expires is not None and run.expires <= self.now]
        # Those of one ttl end together, as their error names it.
        for ttl in sorted({run.ttl for run in late}):
            self._settle_ended([run for run in late if run.ttl == ttl], "EXPIRED")
        self._let_go_on()
        return len(late)

    # What follows from it.

    def _make(self, call: Call) -> None:
        task = self.tasks[call.task]
        if call.debounce is not None:
            latest = None if call.debounce.max_delay is None else self.now + call.debounce.max_delay
            self.debounces[call.task, call.debounce.key] = call.run_id, latest
        delay = call.debounce.delay if call.delay is None and call.debounce is not None else call.delay
        due = self.now + delay if delay else None
        asked = call.ttl if call.ttl is not None else task.ttl
        ttl = min(asked or LONGEST_TTL, LONGEST_TTL)
        self.runs[call.run_id] = Run(
            id=call.run_id,
            task=call.task,
            lane=(call.queue or task.queue, call.concurrency_key),
            priority=call.priority,
            ttl=ttl,
            max_attempts=call.max_attempts,
            payload=call.payload,
            parent=call.parent,
            created=self.now,
            first_in_line=due or self.now,
            status="DELAYED" if due else "PENDING_VERSION" if call.task in self.unknown else "PENDING",
            due=due,
            expires=None if due or call.task in self.unknown else self.now + ttl,
        )

    def _push(self, run: Run, call: Call) -> None:
        assert call.debounce is not None
        until = (self.now + call.debounce.delay).replace(microsecond=0)
        latest = self.debounces[call.task, call.debounce.key][1]
        if latest is not None:
            until = min(until, latest)
        if call.debounce.max_delay is not None:
            until = min(until, run.created + call.debounce.max_delay)
        run.status = "DELAYED"
        run.due = run.first_in_line = until if run.due is None else max(run.due, until)
        if call.debounce.is_trailing:
            run.payload, run.max_attempts = call.payload, call.max_attempts or run.max_attempts

    def _park(self, parent: Run, target: uuid.UUID) -> None:
        known = parent.waits.get(target)
        if known is not None and not known.settled:
            return
        if parent.is_resuming:
            self._tell(parent, resumes=False)
        parent.status = "WAITING_TO_RESUME"
        parent.waits[target] = Wait()
        if self.runs[target].is_final:
            self._settle([parent], {target})

    def _end(self, runs: Iterable[Run], status: FinalStatus) -> None:
        self._settle_ended(runs, status)
        self._let_go_on()

    def _settle_ended(self, runs: Iterable[Run], status: FinalStatus) -> None:
        ended = set()
        for run in runs:
            ended.add(run.id)
            run.status, run.due, run.expires = status, None, None
            run.worker = None
            run.waits.clear()
        self._settle(self.live(), ended)

    def _leave_worker(self, run: Run) -> None:
        run.worker = None
        run.waits.clear()
        self._let_go_on()

    def _settle(self, waiting: Iterable[Run], ended: set[uuid.UUID]) -> None:
        for run in waiting:
            over = [wait for target, wait in run.waits.items() if target in ended and not wait.settled]
            for wait in over:
                wait.settled = True
            if over and run.worker is None:
                run.status = "PENDING"
                run.waits.clear()
            elif over and run.waits_left:
                self._tell(run, resumes=False)

    def _let_go_on(self) -> None:
        """Give runs whose wait is over a slot again, as far as there are any, longest in line first."""
        for run in sorted((run for run in self.live() if run.is_resuming), key=lambda run: run.place):
            limit = self.queues[run.lane[0]].limit
            executing = sum(other.lane == run.lane and other.status == "EXECUTING" for other in self.live())
            if limit is None or executing < limit:
                run.status = "EXECUTING"
                self._tell(run, resumes=True)

    def _tell(self, run: Run, *, resumes: bool) -> None:
        for target, wait in run.waits.items():
            if wait.settled and not wait.told:
                wait.told = True
                self.told.append((run.worker, run.id, run.epoch, target, resumes))
