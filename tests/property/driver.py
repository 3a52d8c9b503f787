"""The engine as the machine drives it: one environment, three workers, and each call carried out before it returns."""

import datetime
import uuid
from typing import Any, Final

from oncue.engine import queues, rescheduling, sweeping, upkeep, workers
from oncue.engine.events import Effects
from oncue.engine.queue_reading import QueueRef
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BadRequest
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.triggers import DebounceOption
from oncue.protocol.work import Announcement, Assignment, TaskDeclaration
from tests.engine.conftest import request
from tests.property import rows
from tests.property.conftest import World
from tests.property.model import Call, Run, Task

SECOND: Final = datetime.timedelta(seconds=1)
LIMITS: Final = {"shared": 1, "pair": 2, "open": None}
TASKS: Final = {
    "parent": Task("shared", 2, None),
    "child": Task("shared", 1, None),
    "pair": Task("pair", 3, 120 * SECOND),
    "open": Task("open", 1, None),
    "late": Task("task/late", 2, 60 * SECOND),
}
LATE: Final = "late"
"""A task that no worker has announced at first."""
WORKERS: Final[dict[str, tuple[list[str], list[str] | None]]] = {
    "all": (list(TASKS), None),
    "children": (["child", "open"], None),
    "shared": (["parent", "child", "pair", "open"], ["shared"]),
}
"""What each can run, and the queues it serves."""

_LEASE: Final = datetime.timedelta(days=3650)
_MS: Final = datetime.timedelta(milliseconds=1)


class Driver:
    """Attributes:
    workers: Id of each worker, by name.
    """

    def __init__(self, world: World) -> None:
        self._do = world.do
        self._engine = world.engine()
        self._environment = self._engine.environment
        self.workers = {name: ids.parse(ids.WORKER, ids.new_worker_id()) for name in WORKERS}
        for name in WORKERS:
            self._announce(name, without=LATE)

    def announce_late(self) -> None:
        self._announce("all")

    def set_time(self, now: datetime.datetime) -> None:
        self._engine.moment = now

    def trigger(self, call: Call, parent: Run | None) -> Triggered | ApiError:
        wanted = request(call.payload, **_options(call, parent))
        (made,) = self._do(self._engine.trigger_many((call.task, wanted)))
        return made

    def claim(self, worker: str, places: int) -> list[tuple[uuid.UUID, int, int]]:
        """Return (run, epoch, attempt) of each assignment."""
        found = self._do(self._engine.claim(self.workers[worker], places))
        return [(ids.parse(ids.RUN, one.run_id), one.epoch, one.attempt) for one in found]

    def report(self, how: str, *runs: Run, **said: Any) -> bool:
        """Report as the worker that has the runs, or as one that had them; returns whether that still counted."""
        worker = runs[0].worker or self.workers["all"]
        lost = self._do(getattr(self._engine, how)(worker, *(_assignment(run) for run in runs), **said))
        assert set(lost) in (set(), {ids.show(ids.RUN, run.id) for run in runs})
        return not lost

    def unload(self, run: Run, waits_for: list[uuid.UUID]) -> bool:
        """Return whether that still counted."""
        assert run.worker is not None
        targets = [ids.show(ids.RUN, target) for target in waits_for]
        return not self._do(self._engine.unload(run.worker, _assignment(run), *targets))

    def hear(self, worker: str) -> int:
        """Take a worker's notices and acknowledge them; returns how many there were."""
        mine = self.workers[worker]
        heard = self._do(self._engine.notices(mine))
        assert self._do(self._engine.notices(mine, [notice.notice_id for notice in heard])) == []
        return len(heard)

    def cancel(self, run: Run) -> None:
        self._do(self._engine.cancel(ids.show(ids.RUN, run.id)))

    def reschedule(self, run: Run, delay: datetime.timedelta) -> bool:
        """Return whether the run could be moved."""
        environment, when = self._environment, rescheduling.NewTime(delay, None)
        try:
            self._do(
                self._engine.run(lambda tx: rescheduling.reschedule(tx, environment, run.id, when, effects=Effects()))
            )
        except BadRequest:
            return False
        return True

    def pause(self, queue: str, *, paused: bool) -> None:
        self._control(queue, queues.pause if paused else queues.resume)

    def limit(self, queue: str, limit: int | None) -> None:
        if limit is None:
            self._control(queue, queues.reset_limit)
        else:
            self._control(queue, queues.override_limit, limit=limit)

    def release_due(self) -> None:
        self._do(self._engine.release_due())

    def expire_due(self) -> int:
        return self._do(self._engine.expire_due())

    def look(self) -> tuple[rows.Rows, int]:
        """Return all rows, and how many counters a sweep had to correct."""
        self._engine.effects = Effects()
        return self._do(self._look())

    async def _look(self) -> tuple[rows.Rows, int]:
        # No transaction: nobody else is here, a sweep that finds nothing writes nothing, and this follows each step.
        async with self._engine.pool.acquire() as connection:
            corrections = await sweeping.sweep(connection, self._environment, effects=Effects())
            return await rows.read(connection, self._environment), corrections

    def _control(self, queue: str, act: Any, **said: Any) -> None:
        environment, ref = self._environment, QueueRef("custom", queue)
        self._do(self._engine.run(lambda tx: act(tx, environment, ref, effects=Effects(), **said)))

    def _announce(self, worker: str, without: str | None = None) -> None:
        reach, served = WORKERS[worker]
        told = Announcement(
            worker_id=ids.show(ids.WORKER, self.workers[worker]),
            tasks=[_declaration(task) for task in reach if task != without],
            places=100,
            hostname="test",
            pid=1,
            sdk_version="0",
            queues=served,
        )
        environment = self._environment
        self._do(self._engine.run(lambda tx: workers.announce(tx, environment, told, lease=_LEASE, effects=Effects())))
        self._do(self._engine.run(lambda tx: upkeep.place_group(tx, environment, effects=Effects())))


def _declaration(name: str) -> TaskDeclaration:
    task = TASKS[name]
    return TaskDeclaration(
        id=name,
        queue=task.queue,
        retry=RetryPolicy(max_attempts=task.attempts, randomize=False),
        ttl_ms=None if task.ttl is None else task.ttl // _MS,
        concurrency_limit=LIMITS.get(task.queue),
    )


def _assignment(run: Run) -> Assignment:
    return Assignment(
        run_id=ids.show(ids.RUN, run.id),
        epoch=run.epoch,
        attempt=run.attempt,
        task=run.task,
        queue=run.lane[0],
        created_at=run.created,
    )


def _options(call: Call, parent: Run | None) -> dict[str, Any]:
    debounce, worker = call.debounce, None if parent is None else parent.worker
    return {
        "run_id": ids.show(ids.RUN, call.run_id),
        "queue": call.queue,
        "concurrency_key": call.concurrency_key,
        "delay": _duration(call.delay),
        "ttl": None if call.ttl is None else call.ttl // SECOND,
        "priority": call.priority,
        "max_attempts": call.max_attempts,
        "idempotency_key": call.idempotency_key,
        "idempotency_key_ttl": _duration(call.lifetime),
        "debounce": debounce
        and DebounceOption(
            debounce.key,
            f"{debounce.delay // SECOND}s",
            "trailing" if debounce.is_trailing else "leading",
            _duration(debounce.max_delay),
        ),
        "parent_run_id": parent and ids.show(ids.RUN, parent.id),
        "parent_epoch": parent and parent.epoch,
        "parent_worker_id": worker and ids.show(ids.WORKER, worker),
        "resume_parent_on_completion": call.waits,
        "call_key": f"call#{call.payload}",
    }


def _duration(span: datetime.timedelta | None) -> str | None:
    return None if span is None else f"{span // SECOND}s"
