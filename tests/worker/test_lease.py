"""A worker keeps its lease, and knows when it has lost it."""

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest
from aiohttp import web

from oncue import RunLost, RunStopped, task, tasks
from oncue.protocol import work
from oncue.protocol.failures import BuiltInError
from oncue.sdk import execution
from oncue.sdk.settings import Settings
from oncue.worker import loop_watch
from oncue.worker.heartbeat import HeartbeatThread
from tests.worker.conftest import KEY, Start
from tests.worker.network import LONG_S, FarEnd, assignment


def run_far_end_on_a_thread(far_end: FarEnd) -> tuple[threading.Thread, threading.Event]:
    """Serve from a loop of its own, so that a test can block its own loop."""
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with far_end.serving():
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(LONG_S)
    return thread, stop


async def test_heartbeat_survives_a_task_that_blocks_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    far_end = FarEnd()
    thread, stop = run_far_end_on_a_thread(far_end)
    try:
        heart = HeartbeatThread(Settings(far_end.url, KEY), lambda _: None)
        heart.start("worker_w", work.Welcome("dev", lease_ms=1_000, heartbeat_ms=10, claim_wait_ms=1_000))
        deadline = time.monotonic() + LONG_S

        while len(far_end.beats) < 5 and time.monotonic() < deadline:
            sum(range(1_000))

        heart.stop()
        assert far_end.beats[:5] == ["worker_w"] * 5
    finally:
        stop.set()
        thread.join()


async def test_unknown_worker_stops_its_runs_and_announces_anew(far_end: FarEnd, working: Start) -> None:
    far_end.welcome = msgspec.structs.replace(far_end.welcome, heartbeat_ms=10)
    seen: list[BaseException] = []
    started = asyncio.Event()

    @task
    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            running = execution.current.get()
            assert running is not None
            try:
                running.call_key("trigger", "child")
            except RunStopped as error:
                seen.append(error)
            raise

    @task
    async def after() -> None: ...

    run, next_run = assignment("endless"), assignment("after")
    async with working(endless, after):
        await far_end.give(run)
        await asyncio.wait_for(started.wait(), LONG_S)
        far_end.known = False
        await far_end.until(lambda: len(far_end.announcements) == 2)
        far_end.known = True
        await far_end.give(next_run)
        await far_end.outcome(next_run)

    first, second = far_end.announcements[:2]
    assert first.worker_id != second.worker_id
    assert far_end.claims[-1].worker_id == far_end.left[-1] == far_end.announcements[-1].worker_id
    assert [type(error) for error in seen] == [RunLost]
    assert run.run_id not in {o.run_id for o in far_end.outcomes}


@pytest.mark.parametrize("endpoint", ["claim", "outcomes"])
async def test_refused_request_of_unknown_worker_announces_anew(far_end: FarEnd, working: Start, endpoint: str) -> None:
    @task
    async def quick() -> None: ...

    far_end.refusals[endpoint] = [(409, "lease_lost")]
    async with working(quick):
        await far_end.give(assignment("quick"))
        await far_end.until(lambda: len(far_end.announcements) == 2)
        run = assignment("quick")
        await far_end.give(run)

        assert isinstance(await far_end.outcome(run), work.Succeeded)


async def test_refused_call_of_a_lost_run_ends_its_code(far_end: FarEnd, working: Start) -> None:
    @task
    async def stubborn() -> str:
        try:
            await tasks.trigger("child")
        except Exception:  # noqa: BLE001 - the promise is that this does not catch it
            return "went on"
        return "triggered"

    async def refuse(*_: object) -> None:
        body = '{"error": "the parent run is no longer executed by this worker; stop it", "code": "lease_lost"}'
        raise web.HTTPConflict(text=body, headers={"x-should-retry": "false"})

    far_end.before_trigger = refuse
    run = assignment("stubborn")
    async with working(stubborn):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert outcome.error.name == "RunLost"
    assert len(far_end.triggers) == 1


async def test_higher_epoch_of_a_held_run_replaces_it(far_end: FarEnd, working: Start) -> None:
    epochs: list[int] = []

    @task
    async def waiting() -> int:
        running = execution.current.get()
        assert running is not None
        epochs.append(running.epoch)
        if running.epoch == 1:
            await asyncio.Event().wait()
        return running.epoch

    run = assignment("waiting")
    async with working(waiting):
        await far_end.give(run)
        await far_end.until(lambda: len(far_end.claims) >= 2)
        await far_end.give(msgspec.structs.replace(run, epoch=2))
        outcome = await far_end.outcome(run)

    assert epochs == [1, 2]
    assert outcome.epoch == 2
    assert len(far_end.outcomes) == 1


async def test_silence_beyond_the_lease_makes_it_suspect() -> None:
    heart = HeartbeatThread(Settings("http://127.0.0.1:1", KEY), lambda _: None)
    heart.start("worker_w", work.Welcome("dev", lease_ms=0, heartbeat_ms=60_000, claim_wait_ms=0))
    suspect_at_once = heart.is_suspect
    heart.start("worker_w", work.Welcome("dev", lease_ms=60_000, heartbeat_ms=60_000, claim_wait_ms=0))
    heart.stop()

    assert suspect_at_once
    assert not heart.is_suspect


async def test_suspect_worker_claims_no_runs_until_heard(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture
) -> None:
    far_end.welcome = msgspec.structs.replace(far_end.welcome, lease_ms=0, heartbeat_ms=10)

    @task
    async def quick() -> None: ...

    async with working(quick):
        await far_end.until(lambda: len(far_end.beats) > 3)

    assert {claim.places for claim in far_end.claims} == {0}
    assert any("lease.doubted" in record.getMessage() for record in caplog.records)


async def test_task_that_blocks_the_loop_is_named(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_watch, "TICK_S", 0.02)
    monkeypatch.setattr(loop_watch, "BLOCKED_S", 0.02)
    released = threading.Event()

    def release_when_seen() -> None:
        # Held until the watch has looked three times; the test cannot be quicker than what it measures.
        threading.Timer(0.2, released.set).start()

    @task
    async def blocking() -> None:
        release_when_seen()
        released.wait(LONG_S)

    run = assignment("blocking")
    async with working(blocking):
        await far_end.give(run)
        await far_end.outcome(run)
        await asyncio.to_thread(_until, lambda: _blocked(caplog, "blocking"))

    # On a machine with much else to do something else may have held the loop as well.
    facts = _blocked(caplog, "blocking")[0]
    assert facts["run_id"] == run.run_id
    assert __file__ in facts["at"]
    assert facts["blocked_ms"] > 50


def _blocked(caplog: pytest.LogCaptureFixture, task_id: str) -> list[dict[str, Any]]:
    """Return what was said of a task that held the loop."""
    said = [record for record in caplog.records if record.getMessage().startswith("loop.blocked")]
    facts: list[dict[str, Any]] = [record.__dict__["fields"] for record in said]
    return [each for each in facts if each["task"] == task_id]


def _until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + LONG_S
    turn = threading.Event()
    while not condition() and time.monotonic() < deadline:
        turn.wait(0.01)
