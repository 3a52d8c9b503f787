"""Runs are executed, and end as the task's code says."""

import asyncio
import contextvars
import datetime
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oncue import AbortRun, BatchTriggerError, Context, RateLimited, RetryAfter, RunStopped, current, task
from oncue.protocol import work
from oncue.protocol.failures import BuiltInError, InternalError
from oncue.sdk import execution
from oncue.worker.base_execution import Stop
from oncue.worker.executor import Executor, Report
from oncue.worker.log_shipping import LogShipper
from oncue.worker.places import Places
from oncue.worker.runs import Session
from oncue.worker.threads import Threads
from oncue.worker.unloading import Unloader
from tests.worker.conftest import Start
from tests.worker.network import LONG_S, FarEnd, Silent, assignment, no_processes


def keeping(executor: Executor) -> Unloader:
    return Unloader(executor.stop, max_parked=10_000, max_memory_bytes=None, process_bytes=0, always=False)


def into(reported: list[work.Outcome]) -> Report:
    def report(outcome: work.Outcome | None, after: Any = None, /) -> None:
        assert after is None
        if outcome is not None:
            reported.append(outcome)

    return report


class Email(msgspec.Struct):
    to: str
    tries: int = 1


async def test_async_task_returns_its_value_as_output(far_end: FarEnd, working: Start) -> None:
    @task
    async def send(payload: Email) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"sent": payload.to}

    run = assignment("send", b'{"to":"a@b.c"}')
    async with working(send):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert (bytes(outcome.output), outcome.epoch) == (b'{"sent":"a@b.c"}', 1)


async def test_plain_function_runs_off_the_loop(far_end: FarEnd, working: Start) -> None:
    @task
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    run = assignment("where")
    async with working(where):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b"false"


async def test_task_sees_its_own_run_in_context(far_end: FarEnd, working: Start) -> None:
    @task
    async def described(payload: int, ctx: Context) -> list[Any]:
        await asyncio.sleep(0)
        return [ctx.run.id, ctx.attempt.number, ctx.environment.slug, current() is ctx, payload]

    @task
    def described_plain(payload: int, ctx: Context) -> list[Any]:
        return [ctx.run.id, ctx.attempt.number, ctx.environment.slug, current() is ctx, payload]

    runs = [assignment(name, b"7", attempt=3) for name in ("described", "described-plain") for _ in range(3)]
    async with working(described, described_plain):
        await far_end.give(*runs)
        outcomes = [await far_end.outcome(run) for run in runs]

    for run, outcome in zip(runs, outcomes, strict=True):
        assert isinstance(outcome, work.Succeeded)
        assert msgspec.json.decode(outcome.output) == [run.run_id, 3, "dev", True, 7]


async def test_runs_do_not_share_context_variables(far_end: FarEnd, working: Start) -> None:
    tenant = contextvars.ContextVar("tenant", default=0)

    @task
    async def coroutine() -> int:
        tenant.set(tenant.get() + 1)
        return tenant.get()

    @task
    def plain() -> int:
        tenant.set(tenant.get() + 1)
        return tenant.get()

    runs = [assignment(name) for name in ("coroutine", "plain") for _ in range(5)]
    async with working(coroutine, plain, concurrency=2):
        await far_end.give(*runs)
        outcomes = [await far_end.outcome(run) for run in runs]

    assert all(isinstance(o, work.Succeeded) and bytes(o.output) == b"1" for o in outcomes)


async def test_nothing_returned_is_reported_without_output(far_end: FarEnd, working: Start) -> None:
    @task
    async def quiet() -> None: ...

    run = assignment("quiet")
    async with working(quiet):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert not outcome.output


class Strange(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


FAILURES: list[tuple[BaseException, str, bool, int | None]] = [
    (ValueError("boom"), "boom", True, None),
    (AbortRun("never again"), "never again", False, None),
    (RetryAfter("30s", "later"), "later", True, 30_000),
    (RetryAfter(1.5), "retry requested by the task", True, 1_500),
    (SystemExit(3), "3", True, None),
    (KeyboardInterrupt(), "", True, None),
    (asyncio.CancelledError("mine"), "mine", True, None),
    (Strange(), "(a Strange that cannot be shown)", True, None),
    (
        BatchTriggerError("slow down", phase="create", item_count=1, retry_after_ms=700, cause=RateLimited("wait")),
        "slow down",
        True,
        700,
    ),
    (BatchTriggerError("broken", phase="create", item_count=1, retry_after_ms=700), "broken", True, None),
    (
        BatchTriggerError("late", phase="create", item_count=1, retry_after_ms=0, cause=RateLimited("wait")),
        "late",
        True,
        None,
    ),
    (RateLimited("slow down"), "slow down", True, None),
    (RateLimited("late", reset_at=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)), "late", True, None),
]


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
@pytest.mark.parametrize(
    ("error", "message", "retryable", "retry_after_ms"), FAILURES, ids=[type(row[0]).__name__ for row in FAILURES]
)
async def test_raised_error_becomes_a_failure_and_worker_lives(
    far_end: FarEnd,
    working: Start,
    *,
    kind: str,
    error: BaseException,
    message: str,
    retryable: bool,
    retry_after_ms: int | None,
) -> None:
    @task
    async def coroutine() -> None:
        raise error

    @task
    def plain() -> None:
        raise error

    @task
    async def after() -> None: ...

    run, next_run = assignment(kind), assignment("after")
    async with working(coroutine, plain, after):
        await far_end.give(run)
        outcome = await far_end.outcome(run)
        await far_end.give(next_run)
        assert isinstance(await far_end.outcome(next_run), work.Succeeded)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert (outcome.error.name, outcome.error.message) == (type(error).__name__, message)
    assert (outcome.retryable, outcome.retry_after_ms) == (retryable, retry_after_ms)


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
async def test_traceback_starts_in_the_user_code(far_end: FarEnd, working: Start, kind: str) -> None:
    def deep() -> None:
        raise ValueError("boom")

    @task
    async def coroutine() -> None:
        deep()

    @task
    def plain() -> None:
        deep()

    run = assignment(kind)
    async with working(coroutine, plain):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    lines = outcome.error.stack_trace.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1]
    assert f"in {kind}" in lines[1]
    assert lines[-1] == "ValueError: boom"
    assert "executor.py" not in outcome.error.stack_trace


async def test_long_error_is_cut_but_keeps_its_end(far_end: FarEnd, working: Start) -> None:
    @task
    async def verbose() -> None:
        raise ValueError("x" * 1_000_000 + " the cause\0")

    run = assignment("verbose")
    async with working(verbose):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert len(outcome.error.message) < 21_000
    assert outcome.error.message.endswith(" the cause\\0")
    assert len(outcome.error.stack_trace) < 21_000


async def test_payload_that_does_not_fit_is_not_retried(far_end: FarEnd, working: Start) -> None:
    called = []

    @task
    async def send(payload: Email) -> None:
        called.append(payload)

    run = assignment("send", b'{"to":3}')
    async with working(send):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert not outcome.retryable
    assert outcome.error.name == "PayloadValidationError"
    assert "payload.to" in outcome.error.message
    assert called == []


async def test_output_that_has_no_json_form_names_its_type(far_end: FarEnd, working: Start) -> None:
    @task
    async def strange() -> Any:
        return {"socket": threading.Lock()}

    run = assignment("strange")
    async with working(strange):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert not outcome.retryable
    assert "lock" in outcome.error.message


async def test_unknown_task_is_handed_back(far_end: FarEnd, working: Start) -> None:
    @task
    async def known() -> None: ...

    run = assignment("unknown")
    async with working(known):
        await far_end.give(run)

        assert await far_end.outcome(run) == work.HandedBack(run.run_id, 1)


async def test_worker_executes_no_more_runs_than_places(far_end: FarEnd, working: Start) -> None:
    executing, most = 0, 0
    gate = asyncio.Event()

    @task
    async def measured() -> None:
        nonlocal executing, most
        executing += 1
        most = max(most, executing)
        await gate.wait()
        executing -= 1

    runs = [assignment("measured") for _ in range(10)]
    async with working(measured, concurrency=3) as worker:
        await far_end.give(*runs)
        await far_end.until(lambda: any(claim.places == 0 for claim in far_end.claims))
        assert len(worker.executor.runs) == 3
        gate.set()
        for run in runs:
            await far_end.outcome(run)

    assert most == 3


async def test_async_run_out_of_time_is_ended(far_end: FarEnd, working: Start) -> None:
    cleaned = asyncio.Event()

    @task
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    run = assignment("endless", max_duration_ms=20)
    async with working(endless):
        await far_end.give(run)
        outcome = await far_end.outcome(run)
        await asyncio.wait_for(cleaned.wait(), 5)

    assert isinstance(outcome, work.Ended)
    assert outcome.status == "TIMED_OUT"
    assert outcome.ran_ms >= 20
    assert isinstance(outcome.error, InternalError)
    assert "0.02 s" in outcome.error.message
    assert [o.run_id for o in far_end.outcomes] == [run.run_id]


async def test_plain_run_out_of_time_stops_at_its_next_call(far_end: FarEnd, working: Start) -> None:
    seen: list[BaseException] = []
    reported = threading.Event()

    @task
    def slow() -> None:
        reported.wait(LONG_S)
        try:
            slow.sync.trigger()
        except RunStopped as error:
            seen.append(error)
            raise

    run = assignment("slow", max_duration_ms=20)
    async with working(slow) as worker:
        await far_end.give(run)
        outcome = await far_end.outcome(run)
        reported.set()
        await asyncio.wait_for(worker.executor.emptied.wait(), LONG_S)

    assert isinstance(outcome, work.Ended)
    assert [str(error) for error in seen] == ["the run must not go on: it used up its max_duration"]
    assert [o.run_id for o in far_end.outcomes] == [run.run_id]
    assert far_end.triggers == []


async def test_run_stopped_before_its_first_step_frees_its_place() -> None:
    @task
    async def never() -> None: ...

    places, reported = Places(1), list[work.Outcome]()
    executor = Executor(
        {"never": never}, places, Threads(asyncio.get_running_loop(), 1), no_processes(), into(reported)
    )
    run, waiting = assignment("never"), assignment("never")
    executor.start([run, waiting], Session("worker_w", "dev", places, keeping(executor), LogShipper(Silent())))
    for held in list(executor.runs.values()):
        executor.stop(held, Stop.HANDED_BACK)
    await asyncio.wait_for(executor.emptied.wait(), LONG_S)

    assert places.free == 1
    assert {outcome.run_id for outcome in reported} == {run.run_id, waiting.run_id}
    assert {type(outcome) for outcome in reported} == {work.HandedBack}


async def test_ten_thousand_parked_coroutines_stay_below_100_mb() -> None:
    @task
    async def parent() -> None:
        running = execution.current.get()
        assert running is not None
        await running.wait_for_run("run_child")

    places, reported = Places(100), list[work.Outcome]()
    executor = Executor(
        {"parent": parent}, places, Threads(asyncio.get_running_loop(), 1), no_processes(), into(reported)
    )
    session = Session("worker_w", "dev", places, keeping(executor), LogShipper(Silent()))
    before_bytes = resident_bytes()
    for _ in range(100):
        executor.start([assignment("parent", b'{"some":"payload"}') for _ in range(100)], session)
        await asyncio.sleep(0)
    while places.taken:
        await asyncio.sleep(0)
    parked, grown_bytes = len(executor.runs), resident_bytes() - before_bytes
    for run in list(executor.runs.values()):
        run.parking.settle("run_child", work.ChildSucceeded("run_child", "child"), resumes=True)
    await asyncio.wait_for(executor.emptied.wait(), LONG_S)

    assert parked == len(reported) == 10_000
    assert grown_bytes < 100_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_same_assignment_twice_is_executed_once(far_end: FarEnd, working: Start) -> None:
    gate, started = asyncio.Event(), []

    @task
    async def counted() -> None:
        started.append(1)
        await gate.wait()

    @task
    async def other() -> None: ...

    run, marker = assignment("counted"), assignment("other")
    async with working(counted, other):
        await far_end.give(run, run, marker)
        await far_end.outcome(marker)
        gate.set()
        await far_end.outcome(run)

    assert started == [1]


async def test_branches_that_a_task_leaves_waiting_end_with_it() -> None:
    left: list[asyncio.Future[Any]] = []

    @task
    async def leaves() -> None:
        running = execution.current.get()
        assert running is not None
        left.append(asyncio.ensure_future(running.wait_for_run("run_child")))
        await asyncio.sleep(0)

    places, reported = Places(1), list[work.Outcome]()
    executor = Executor(
        {"leaves": leaves}, places, Threads(asyncio.get_running_loop(), 1), no_processes(), into(reported)
    )
    session = Session("worker_w", "dev", places, keeping(executor), LogShipper(Silent()))
    executor.start([assignment("leaves")], session)
    await asyncio.wait_for(executor.emptied.wait(), LONG_S)
    await asyncio.wait(left, timeout=LONG_S)

    assert left[0].cancelled()
    assert places.free == 1
    assert [type(outcome) for outcome in reported] == [work.Succeeded]
