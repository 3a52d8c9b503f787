"""Which waiting runs a worker lets go of, and what their code notices."""

import asyncio
from typing import Any

import msgspec

from oncue import RunLost, task
from oncue.protocol import work
from oncue.sdk import execution
from oncue.sdk.task import Task
from oncue.worker.base_execution import Stop
from oncue.worker.executor import Executor
from oncue.worker.log_shipping import LogShipper
from oncue.worker.places import Places
from oncue.worker.runs import HeldRun, Session
from oncue.worker.threads import Threads
from oncue.worker.unloading import Unloader, resident_bytes
from tests.worker.network import LONG_S, Silent, assignment, no_processes


class Held:
    """An executor with its unloader, and what it reports."""

    def __init__(self, *tasks: Task[Any, Any], max_parked: int = 10, always: bool = False) -> None:
        self.reported: list[work.Outcome] = []
        self.places = Places(10)
        known = {each.id: each for each in tasks}
        self.executor = Executor(
            known, self.places, Threads(asyncio.get_running_loop(), 1), no_processes(), self._report
        )
        self.unloader = Unloader(
            self._stop, max_parked=max_parked, max_memory_bytes=None, process_bytes=0, always=always
        )
        self.session = Session("worker_w", "dev", self.places, self.unloader, LogShipper(Silent()))

    def start(self, task_id: str) -> work.Assignment:
        run = assignment(task_id)
        self.executor.start([run], self.session)
        return run

    async def parked(self, *runs: work.Assignment) -> None:
        async with asyncio.timeout(LONG_S):
            while any((held := self.executor.runs.get(run.run_id)) is None or held.has_place for run in runs):
                await asyncio.sleep(0)

    async def outcome(self, run: work.Assignment) -> work.Outcome:
        async with asyncio.timeout(LONG_S):
            while not (found := [each for each in self.reported if each.run_id == run.run_id]):
                await asyncio.sleep(0)
        return found[0]

    def _stop(self, run: HeldRun, stopped: Stop) -> None:
        self.executor.stop(run, stopped)

    def _report(self, outcome: work.Outcome | None, after: object = None, /) -> None:
        assert after is None
        if outcome is not None:
            self.reported.append(outcome)


async def _wait(*targets: str) -> None:
    running = execution.current.get()
    assert running is not None
    await asyncio.gather(*(running.wait_for_run(target) for target in targets))


async def test_runs_parked_longest_are_unloaded_beyond_the_limit() -> None:
    @task
    async def parent() -> None:
        await _wait("run_child")

    held = Held(parent, max_parked=2)
    first = held.start("parent")
    await held.parked(first)
    others = [held.start("parent") for _ in range(2)]

    outcome = await held.outcome(first)
    assert isinstance(outcome, work.Unloaded)
    assert (outcome.epoch, outcome.waits_for) == (first.epoch, ["run_child"])
    assert set(held.executor.runs) == {run.run_id for run in others}
    assert held.places.taken == 0


async def test_task_that_forbids_it_is_passed_over() -> None:
    @task(evict=False)
    async def lasting() -> None:
        await _wait("run_child")

    @task
    async def parent() -> None:
        await _wait("run_child")

    held = Held(lasting, parent, max_parked=1)
    kept = held.start("lasting")
    await held.parked(kept)
    other = held.start("parent")

    assert isinstance(await held.outcome(other), work.Unloaded)
    assert list(held.executor.runs) == [kept.run_id]
    assert held.unloader.unload_all() == 0


async def test_plain_function_gets_an_error_that_is_no_exception() -> None:
    seen: list[BaseException] = []

    @task
    def parent() -> str:
        running = execution.current.get()
        assert running is not None
        try:
            running.block_on(running.wait_for_run("run_child"))
        except Exception:  # noqa: BLE001 - what a careless task writes
            return "swallowed"
        except RunLost as error:
            seen.append(error)
            raise
        return "went on"

    held = Held(parent)
    run = held.start("parent")
    await held.parked(run)
    assert held.unloader.unload_all() == 1

    assert isinstance(await held.outcome(run), work.Unloaded)
    assert len(seen) == 1


async def test_run_with_a_result_at_work_is_left_alone() -> None:
    @task
    async def parent() -> None:
        await _wait("run_first", "run_second")

    held = Held(parent)
    run = held.start("parent")
    await held.parked(run)
    parking = held.executor.runs[run.run_id].parking
    parking.settle("run_first", work.ChildSucceeded("run_first", "child"), resumes=False)

    # The code may do something with it, beside the wait for the other one.
    assert held.unloader.unload_all() == 0
    parking.settle("run_second", work.ChildSucceeded("run_second", "child"), resumes=True)
    assert isinstance(await held.outcome(run), work.Succeeded)


async def test_failure_that_a_branch_has_yet_to_raise_is_not_lost() -> None:
    @task
    async def parent() -> str:
        running = execution.current.get()
        assert running is not None

        async def fails() -> None:
            await running.wait_for_run("run_first")
            await asyncio.sleep(0)
            raise ValueError("the first one failed")

        async def lasts() -> None:
            await begun.wait()
            await running.wait_for_run("run_second")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                group.create_task(lasts())
        except ExceptionGroup:
            return "ended the other"
        return "went on"

    held, begun = Held(parent, always=False), asyncio.Event()
    run = held.start("parent")
    await held.parked(run)
    held.unloader._always = True
    # The other branch begins its wait before this one has done anything with its result.
    held.executor.runs[run.run_id].parking.settle("run_first", work.ChildSucceeded("run_first", "child"), resumes=True)
    begun.set()

    outcome = await held.outcome(run)
    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"ended the other"'


async def test_run_with_a_call_on_its_way_is_left_alone() -> None:
    @task
    async def parent() -> None:
        running = execution.current.get()
        assert running is not None
        for child in ("first", "second"):
            running.call_key("wait", child)
        await asyncio.gather(running.wait_for_run("run_first"), late(running))

    async def late(running: execution.Execution) -> None:
        await answered.wait()
        await running.wait_for_run("run_second")

    held, answered = Held(parent), asyncio.Event()
    run = held.start("parent")
    await held.parked(run)
    # The other call has yet to be answered: what it asks for may not be there.
    assert held.unloader.unload_all() == 0

    answered.set()
    outcome = await held.outcome(run)
    assert isinstance(outcome, work.Unloaded)
    assert outcome.waits_for == ["run_first", "run_second"]


async def test_each_wait_unloads_a_run_once_where_that_is_always_done() -> None:
    @task
    async def parent() -> None:
        await _wait("run_child")

    held = Held(parent, always=True)
    run = held.start("parent")
    assert isinstance(await held.outcome(run), work.Unloaded)

    held.reported.clear()
    held.executor.start([msgspec.structs.replace(run, epoch=run.epoch + 1)], held.session)
    await held.parked(run)
    held.executor.runs[run.run_id].parking.settle("run_child", work.ChildSucceeded("run_child", "child"), resumes=True)
    assert isinstance(await held.outcome(run), work.Succeeded)


async def test_memory_of_the_process_is_read_in_bytes() -> None:
    resident = resident_bytes()
    assert resident is None or 10 << 20 < resident < 10 << 30
