"""Worker processes start, stop and survive as their operator expects."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oncue.protocol import work
from tests.worker.conftest import KEY
from tests.worker.network import LONG_S, FarEnd, assignment

TASKS = """
import asyncio, pathlib, threading, time
from oncue import task

HERE = pathlib.Path(__file__).parent


async def until(name):
    while not (HERE / name).exists():
        await asyncio.sleep(0.005)


@task
async def gated() -> str:
    (HERE / "started").touch()
    await until("gate")
    return "done"


@task
async def endless() -> None:
    (HERE / "started").touch()
    try:
        await asyncio.Event().wait()
    finally:
        (HERE / "cleaned").touch()


@task
def stuck() -> None:
    (HERE / "started").touch()
    threading.Event().wait()


@task
async def hanging() -> None:
    (HERE / "started").touch()
    await asyncio.to_thread(threading.Event().wait)


@task
async def leaving() -> None:
    async def nested():
        raise SystemExit(1)
    await asyncio.gather(nested())


@task
async def quick() -> None: ...
"""

PROGRAM = """
import datetime, logging, sys, msgspec
from oncue.worker.supervisor import WorkerOptions, run
logging.basicConfig(level=logging.INFO, format="%(message)s")
sys.exit(run(msgspec.json.decode(sys.argv[1], type=WorkerOptions)))
"""


class Program:
    """A worker as an operator starts it."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what it said."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LONG_S):
            said = await self.process.stderr.read()
            return await self.process.wait(), said.decode()

    async def made(self, name: str) -> None:
        """Wait until a task has made a file."""
        async with asyncio.timeout(LONG_S):
            while not (self.folder / name).exists():
                await asyncio.to_thread(os.stat, self.folder)


Start = Callable[..., contextlib.AbstractAsyncContextManager[Program]]


@pytest.fixture
def program(far_end: FarEnd, tmp_path: Path) -> Start:
    (tmp_path / "jobs_of_program.py").write_text(TASKS)

    @contextlib.asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Program]:
        options = {"targets": [str(tmp_path / "jobs_of_program.py")], "grace": "P0DT10S", **changes}
        environment = {**os.environ, "TRIGGER_API_URL": far_end.url, "TRIGGER_SECRET_KEY": KEY}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, msgspec.json.encode(options).decode(),
            env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield Program(process, tmp_path)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # To its end, which comes when the last child has ended.
            async with asyncio.timeout(LONG_S):
                await process.communicate()

    return start


async def until_it_takes_no_runs(far_end: FarEnd) -> None:
    """Wait until the worker has noticed a signal: it claims no runs, and gives back what an open claim brings in."""
    while await _takes(far_end, assignment("quick")):
        pass


async def _takes(far_end: FarEnd, late: work.Assignment) -> bool:
    await far_end.give(late)
    await far_end.until(lambda: not far_end.claims[-1].places or far_end.ends_of(late))
    return bool(far_end.claims[-1].places) and far_end.ends_of(late) != [work.HandedBack(late.run_id, 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_running_work_end_then_leaves(
    far_end: FarEnd, program: Start, number: signal.Signals
) -> None:
    run = assignment("gated")
    async with program() as worker:
        await far_end.give(run)
        await worker.made("started")
        worker.signal(number)
        await until_it_takes_no_runs(far_end)
        (worker.folder / "gate").touch()
        code, said = await worker.ended()

    assert code == 0
    assert {type(o) for o in far_end.outcomes if o.run_id == run.run_id} == {work.Succeeded}
    assert far_end.left == [far_end.announcements[0].worker_id]
    assert "worker.announced" in said
    assert "worker.left" in said


async def test_runs_beyond_the_grace_are_handed_back(far_end: FarEnd, program: Start) -> None:
    coroutine, plain = assignment("endless"), assignment("stuck")
    async with program(grace="P0DT0.05S") as worker:
        await far_end.give(coroutine, plain)
        await far_end.until(lambda: len(far_end.claims) >= 2)
        await worker.made("started")
        worker.signal(signal.SIGTERM)
        code, _ = await worker.ended()

    assert code == 0
    assert (worker.folder / "cleaned").exists()
    assert {o.run_id: type(o) for o in far_end.outcomes} == {
        coroutine.run_id: work.HandedBack,
        plain.run_id: work.HandedBack,
    }
    assert len(far_end.left) == 1


async def test_second_signal_leaves_at_once(far_end: FarEnd, program: Start) -> None:
    async with program(grace="P0DT1000S") as worker:
        await far_end.give(assignment("stuck"))
        await worker.made("started")
        worker.signal(signal.SIGTERM)
        await until_it_takes_no_runs(far_end)
        worker.signal(signal.SIGTERM)
        code, _ = await worker.ended()

    assert code == 0
    assert len(far_end.left) == 1


async def test_thread_that_never_ends_does_not_keep_the_process(far_end: FarEnd, program: Start) -> None:
    async with program(grace="P0DT0S") as worker:
        await far_end.give(assignment("hanging"))
        await worker.made("started")
        worker.signal(signal.SIGTERM)
        code, _ = await worker.ended()

    assert code == 0
    assert len(far_end.left) == 1


async def test_exit_in_a_side_task_fails_only_its_run(far_end: FarEnd, program: Start) -> None:
    run, after = assignment("leaving"), assignment("quick")
    async with program() as worker:
        await far_end.give(run)
        failed = await far_end.outcome(run)
        await far_end.give(after)
        succeeded = await far_end.outcome(after)
        worker.signal(signal.SIGTERM)
        code, _ = await worker.ended()

    assert isinstance(failed, work.Failed)
    assert isinstance(succeeded, work.Succeeded)
    assert code == 0


async def test_worker_waits_for_its_server_and_says_so_once(far_end: FarEnd, program: Start) -> None:
    far_end.refusals["announce"] = [(0, "before"), (503, "unavailable"), (0, "before")]
    async with program() as worker:
        await far_end.until(lambda: far_end.announcements)
        await far_end.until(lambda: far_end.claims)
        worker.signal(signal.SIGTERM)
        code, said = await worker.ended()

    assert code == 0
    assert said.count("announce.failed") == 1
    assert said.count("worker.announced") == 1


async def test_refused_key_ends_the_worker_with_a_reason(far_end: FarEnd, program: Start) -> None:
    far_end.refusals["announce"] = [(401, "unauthorized")]
    async with program() as worker:
        code, said = await worker.ended()

    assert code == 1
    assert "error: " in said
    assert "TRIGGER_SECRET_KEY" in said
    assert KEY not in said


async def test_code_without_tasks_ends_with_one_line(far_end: FarEnd, program: Start, tmp_path: Path) -> None:
    (tmp_path / "nothing_here.py").touch()
    async with program(targets=["nothing_here.py"]) as worker:
        code, said = await worker.ended()

    assert code == 2
    assert said.splitlines() == [
        "error: no task found in nothing_here.py; declare one with `from oncue import task` and @task above a function"
    ]


async def test_killed_process_is_replaced_and_all_stop(far_end: FarEnd, program: Start) -> None:
    async with program(processes=2) as parent:
        await far_end.until(lambda: len({claim.worker_id for claim in far_end.claims}) == 2)
        os.kill(far_end.announcements[0].pid, signal.SIGKILL)
        await far_end.until(lambda: len({claim.worker_id for claim in far_end.claims}) == 3)
        parent.signal(signal.SIGINT)
        code, said = await parent.ended()

    assert code == 0
    assert "worker.died" in said
    assert set(far_end.left) == {announcement.worker_id for announcement in far_end.announcements[1:]}


async def test_children_leave_when_their_parent_is_killed(far_end: FarEnd, program: Start) -> None:
    async with program(processes=2) as parent:
        await far_end.until(lambda: len({claim.worker_id for claim in far_end.claims}) == 2)
        parent.signal(signal.SIGKILL)
        await far_end.until(lambda: len(far_end.left) == 2)

    assert set(far_end.left) == {announcement.worker_id for announcement in far_end.announcements}


async def test_refused_children_end_their_parent(far_end: FarEnd, program: Start) -> None:
    far_end.refusals["announce"] = [(401, "unauthorized"), (401, "unauthorized")]
    async with program(processes=2) as parent:
        code, said = await parent.ended()

    assert code == 1
    assert "error: " in said
