"""Whatever happens in whatever order, runs keep what is promised of them.

Hypothesis makes up lives: triggers, claims, outcomes, cancellations, operators, time. Each step is taken by the engine,
over PostgreSQL, and by a small model; then all rows must be as the model says, keep the promises in ``rows.py``, and
leave nothing to the sweep. At the end of each life queues are resumed and everything runs to its end: no run is lost.
"""

import dataclasses
import datetime
import uuid
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from oncue.engine.option_rules import Debounce
from oncue.engine.states import MOVES
from oncue.engine.triggering import Triggered
from oncue.protocol import ids
from oncue.protocol.errors import UnprocessableRequest
from tests.property import rows
from tests.property.conftest import START, World
from tests.property.driver import LATE, LIMITS, SECOND, TASKS, WORKERS, Driver
from tests.property.model import FINAL, Call, Model, Queue, Run

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Nothing that is drawn depends on what the engine answered, so that a life can be told again and made shorter. Runs are
# picked by a number, whatever there is to pick from.
picks = st.integers(0, 2**16)
tasks = st.sampled_from(list(TASKS))
queues = st.sampled_from(list(LIMITS))
workers = st.sampled_from(list(WORKERS))
mostly = st.sampled_from([True, True, True, False])
options = st.fixed_dictionaries(
    {
        # Mostly the lanes that everybody wants: where there is room for all, nothing happens.
        "queue": st.sampled_from([None, None, None, None, None, *LIMITS]),
        "concurrency_key": st.sampled_from([None, None, None, None, None, None, None, "x"]),
        "delay": st.sampled_from([None, None, None, None, None, 2 * SECOND, 10 * SECOND]),
        "ttl": st.sampled_from([None, None, 0 * SECOND, 5 * SECOND, 60 * SECOND]),
        "priority": st.sampled_from([0, 0, 5, 20]),
        "max_attempts": st.sampled_from([None, None, 1, 2]),
        "idempotency_key": st.sampled_from([None, None, "i"]),
        "lifetime": st.sampled_from([30 * SECOND, 3600 * SECOND]),
    }
)
calls = st.tuples(tasks, options)
debounces = st.builds(
    Debounce,
    key=st.just("k"),
    delay=st.sampled_from([2 * SECOND, 10 * SECOND]),
    is_trailing=st.booleans(),
    max_delay=st.sampled_from([None, 12 * SECOND, 60 * SECOND]),
)
# Some end just before a delay or a lifetime does.
spans = st.sampled_from([0.3, 1, 4, 5, 9, 59, 600]).map(lambda seconds: seconds * SECOND)


class LifeOfRuns(RuleBasedStateMachine):
    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.engine = Driver(self.world)
        queues = {task.queue: Queue(LIMITS.get(task.queue)) for task in TASKS.values()}
        self.model = Model(TASKS, queues, START)
        self.model.unknown.add(LATE)
        self.promises = rows.Promises()
        self.first_id = ids.parse(ids.RUN, ids.new_run_id()).int
        self.calls = 0
        self.is_sound = True
        """No step is under way, and none went wrong."""
        self.is_over = False

    @initialize(
        first=st.lists(calls, min_size=2, max_size=6),
        inside=st.lists(calls, max_size=3),
        is_open_limited=st.booleans(),
        parents=st.sampled_from([0, 1, 2]),
    )
    def runs_are_there_and_some_wait(
        self,
        first: list[tuple[str, dict[str, Any]]],
        inside: list[tuple[str, dict[str, Any]]],
        is_open_limited: bool,
        parents: int,
    ) -> None:
        if is_open_limited:
            self.override_or_reset_limit("open", 2)
        for task, said in first:
            self._trigger(task, said)
        for task, said in inside:
            self.claim("all", 100)
            self.trigger_and_wait(1, task, said)
        self.claim("all", 100)
        self.others_take_the_slots_of_waiting_parents(1, {}, parents)

    # Triggers.

    @rule(task=tasks, said=options)
    def trigger(self, task: str, said: dict[str, Any]) -> None:
        self._trigger(task, said)

    @rule(task=tasks, said=options, debounce=debounces)
    def trigger_debounced(self, task: str, said: dict[str, Any], debounce: Debounce) -> None:
        self._trigger(task, said | {"debounce": debounce})

    @rule(pick=picks, task=tasks, said=options)
    def trigger_and_wait(self, pick: int, task: str, said: dict[str, Any]) -> None:
        if (parent := self._held(pick)) is not None:
            self._trigger(task, said | {"parent": parent.id, "waits": True})

    @rule(pick=picks, task=tasks, said=options, debounce=debounces)
    def trigger_debounced_and_wait(self, pick: int, task: str, said: dict[str, Any], debounce: Debounce) -> None:
        if (parent := self._held(pick)) is not None:
            self._trigger(task, said | {"debounce": debounce, "parent": parent.id, "waits": True})

    @rule(pick=picks, task=tasks, said=options)
    def trigger_from_inside_without_waiting(self, pick: int, task: str, said: dict[str, Any]) -> None:
        if (parent := self._held(pick)) is not None:
            self._trigger(task, said | {"parent": parent.id})

    @rule(pick=picks, said=options, parents=st.sampled_from([1, 2, 3]))
    def others_take_the_slots_of_waiting_parents(self, pick: int, said: dict[str, Any], parents: int) -> None:
        """Bring runs back in line after their wait, which chance alone seldom does."""
        parent, children = self._held(pick), []
        for _ in range(parents):
            if parent is None:
                break
            queue, key = lane = parent.lane
            children.append(self._trigger("open", {"parent": parent.id, "waits": True}))
            self._trigger(parent.task, said | {"queue": queue, "concurrency_key": key})
            self.claim("all", 100)
            parent = next((run for run in self.model.live() if run.lane == lane and run.status == "EXECUTING"), None)
        self._complete([child for child in children if child is not None and child.status == "EXECUTING"])

    # Workers.

    @rule(worker=workers, places=st.sampled_from([1, 2, 100]))
    def claim(self, worker: str, places: int) -> None:
        self._begin("claim")
        found = self.engine.claim(worker, places)
        self._see("claimed", len(found))
        reach, served = WORKERS[worker]
        claimed = [run for run, _, _ in found]
        self.model.claim(self.engine.workers[worker], claimed, tasks=reach, queues=served, places=places)
        for run, epoch, attempt in found:
            assert (epoch, attempt) == (self.model.runs[run].epoch, self.model.runs[run].attempt)

    @rule(several=st.lists(picks, min_size=1, max_size=3))
    def complete(self, several: list[int]) -> None:
        found = [run for pick in several if (run := self._held(pick)) is not None]
        self._complete(found)

    @rule(pick=picks, retryable=mostly, after=st.sampled_from([None, 0, 45]))
    def fail(self, pick: int, retryable: bool, after: int | None) -> None:
        if (run := self._held(pick)) is not None:
            self._begin("fail")
            after_ms = None if after is None else after * 1_000
            assert self.engine.report("fail", run, retryable=retryable, retry_after_ms=after_ms)
            self.model.fail(run, retryable=retryable, after=None if after is None else after * SECOND)

    @rule(pick=picks)
    def hand_back(self, pick: int) -> None:
        if (run := self._held(pick)) is not None:
            self._begin("hand_back")
            assert self.engine.report("hand_back", run)
            self.model.hand_back(run)

    @rule(pick=picks, knows=mostly)
    def unload(self, pick: int, knows: bool) -> None:
        waiting = [run for run in self.model.live() if run.is_held and run.waits_left]
        if (run := self._picked(waiting, pick)) is not None:
            self._begin("unload")
            # What was told may have come too late.
            waits_for = [target for target, wait in run.waits.items() if not (wait.settled and knows)]
            assert self.engine.unload(run, waits_for)
            self.model.unload(run, waits_for)
            self._see("unloaded", run.worker is None and run.status == "WAITING_TO_RESUME")

    @rule(pick=picks, how=st.sampled_from(["succeed", "fail", "hand_back"]))
    def report_what_no_longer_counts(self, pick: int, how: str) -> None:
        started = [run for run in self.model.runs.values() if run.epoch]
        over = [run for run in started if not run.is_held]
        over += [dataclasses.replace(run, epoch=run.epoch - 1) for run in started if run.epoch > 1]
        if (run := self._picked(over, pick)) is not None:
            self._begin("report too late")
            # What ended a run may be sent again, where an answer was lost: that is no surprise.
            is_known = how != "hand_back" and run.status in {"COMPLETED_SUCCESSFULLY", "COMPLETED_WITH_ERRORS"}
            assert self.engine.report(how, run) == (is_known and run is self.model.runs[run.id])

    @rule(worker=workers)
    def hear_notices(self, worker: str) -> None:
        self._begin("hear_notices")
        mine = self.engine.workers[worker]
        heard = self.engine.hear(worker)
        self._see("notice", heard)
        assert heard == sum(told[0] == mine for told in self.model.told)
        self.model.told = [told for told in self.model.told if told[0] != mine]

    # Clients and operators.

    @rule(pick=picks, in_progress=mostly)
    def cancel(self, pick: int, in_progress: bool) -> None:
        among = [run for run in self.model.runs.values() if not in_progress or not run.is_final]
        if (run := self._picked(among, pick)) is not None:
            self._begin("cancel " + run.status)
            self.engine.cancel(run)
            self.model.cancel(run)

    @rule(pick=picks, delayed=mostly, delay=st.sampled_from([0, 3, 30]))
    def reschedule(self, pick: int, delayed: bool, delay: int) -> None:
        among = [run for run in self.model.runs.values() if not delayed or run.status == "DELAYED"]
        if (run := self._picked(among, pick)) is not None:
            self._begin("reschedule " + run.status)
            assert self.engine.reschedule(run, delay * SECOND) == self.model.reschedule(run, delay * SECOND)

    @rule(queue=queues, paused=st.booleans())
    def pause_or_resume(self, queue: str, paused: bool) -> None:
        self._begin("pause" if paused else "resume")
        self.engine.pause(queue, paused=paused)
        self.model.change_queue(queue, paused=paused, override=self.model.queues[queue].override)

    @rule(queue=queues, limit=st.sampled_from([None, None, 0, 1, 2, 3]))
    def override_or_reset_limit(self, queue: str, limit: int | None) -> None:
        self._begin("reset" if limit is None else "override")
        self.engine.limit(queue, limit)
        self.model.change_queue(queue, paused=self.model.queues[queue].paused, override=limit)

    @rule()
    def a_task_becomes_known(self) -> None:
        self._begin("announce")
        self.engine.announce_late()
        self.model.announce(LATE)

    # Time.

    @rule(span=spans, released=mostly, expired=st.booleans())
    def time_passes(self, span: datetime.timedelta, released: bool, expired: bool) -> None:
        self._begin("time_passes")
        self.model.now += span
        self.engine.set_time(self.model.now)
        # Either may be late, or not come at all before the next step.
        if expired:
            assert self.engine.expire_due() == self.model.expire_due()
        if released:
            self.engine.release_due()
            self.model.release_due()

    # What holds after each step.

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        found, corrections = self.engine.look()
        assert corrections == 0
        self.promises.hold(found)
        assert found.runs.keys() == self.model.runs.keys()
        for run in self.model.runs.values():
            row = found.runs[run.id]
            self._see("in line again" if run.is_resuming else run.status)
            assert found.status(run.id) == run.status
            asked = (row["payload"], row["max_attempts"], row["parent_id"])
            assert asked == (str(run.payload), run.max_attempts, run.parent)
            assert (row["epoch"], row["started_at"]) == (run.epoch, run.started)
            if not run.is_final:
                assert (row["attempt"], row["worker_id"]) == (run.attempt, run.worker)
                assert (row["due_at"], row["expires_at"]) == (run.due, run.expires)
                assert row["waits_left"] == run.waits_left
                assert row["ord"] == (run.place[0] - EPOCH) // datetime.timedelta(microseconds=1)
        assert sorted(found.notices.elements(), key=str) == sorted(self.model.told, key=str)
        self.is_sound = True
        self._see("steps", not self.is_over)

    def teardown(self) -> None:
        if self.is_sound:
            self._run_to_the_end()

    # How it is done.

    def _begin(self, step: str) -> None:
        self.is_sound = False
        self._see(step)

    def _see(self, what: str, count: int = 1) -> None:
        self.world.seen[what] += count

    def _trigger(self, task: str, said: dict[str, Any]) -> Run | None:
        """Trigger a run and return what the call stands for; None where it is refused."""
        self.calls += 1
        call = Call(run_id=uuid.UUID(int=self.first_id + self.calls), task=task, payload=self.calls, **said)
        target, _ = self.model.match(call)
        if call.waits and call.parent is not None and self.model.waits_for(target, call.parent):
            # Runs that wait for each other in a circle are their author's doing, and would not come to an end.
            call = Call(**{**vars(call), "idempotency_key": None})
        self._begin("wait" if call.waits else "debounce" if call.debounce else "trigger")
        made = self.engine.trigger(call, None if call.parent is None else self.model.runs[call.parent])
        expected = self.model.trigger(call)
        if expected is None:
            assert isinstance(made, UnprocessableRequest)
            return None
        assert made == Triggered(*expected)
        self._see("found", expected[0] != call.run_id)
        return self.model.runs[expected[0]]

    def _complete(self, runs: list[Run]) -> None:
        """Report runs, each worker its own in one transaction."""
        for worker in dict.fromkeys(run.worker for run in runs):
            mine = list({run.id: run for run in runs if run.worker == worker}.values())
            self._begin("complete")
            assert self.engine.report("succeed", *mine)
            self.model.complete(mine)

    def _held(self, pick: int) -> Run | None:
        """Pick a run that a worker holds; seldom one that waits, as its life is richer when it is left to wait."""
        held = [run for run in self.model.live() if run.is_held]
        executing = [run for run in held if run.status == "EXECUTING"]
        return self._picked(executing if executing and pick % 3 else held, pick)

    def _picked(self, among: list[Run], pick: int) -> Run | None:
        """Pick a run; where there is none, do what brings some."""
        if among:
            return among[pick % len(among)]
        if any(run.status == "PENDING" for run in self.model.live()):
            self.claim("all", 1 + pick % 3)
        else:
            self._trigger(list(TASKS)[pick % len(TASKS)], {})
        return None

    def _run_to_the_end(self) -> None:
        self.is_over = True
        self.a_task_becomes_known()
        for queue in LIMITS:
            self.pause_or_resume(queue, paused=False)
            self.override_or_reset_limit(queue, limit=None)
        for _ in range(4 * len(self.model.runs)):
            self.time_passes(3600 * SECOND, released=True, expired=False)
            self.claim("all", 100)
            self._complete([run for run in self.model.live() if run.status == "EXECUTING"])
            self.rows_are_as_the_model_says()
            if not self.model.live():
                return
        raise AssertionError("there are runs that never come to an end")


def lead(world: World, how: settings) -> None:
    """Lead as many lives as are asked for."""
    machine = type("LifeOfRuns", (LifeOfRuns,), {"world": world})
    run_state_machine_as_test(machine, settings=how)


USUAL = settings(deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def test_a_few_lives_keep_every_promise(world: World) -> None:
    # The same ones each time: when this fails, what was changed is to blame, and no dice.
    lead(world, settings(USUAL, max_examples=16, stateful_step_count=32, derandomize=True, database=None))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_steps_keep_every_promise(world: World) -> None:
    # Others each time, so that what one night does not find the next may.
    lead(world, settings(USUAL, max_examples=270, stateful_step_count=50, derandomize=False))

    assert world.seen["steps"] >= 10_000
    unseen = {what for what in (*MOVES, *FINAL, "in line again", "notice", "found", "unloaded") if not world.seen[what]}
    assert not unseen, "lives have become poorer"
