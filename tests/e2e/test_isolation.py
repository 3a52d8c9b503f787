"""Isolated runs, end to end: their own process, its limits, its deaths and its end."""

import asyncio
import datetime
import itertools
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oncue import RunHandle, runs, tasks, wait
from tests.e2e.conftest import Run
from tests.fixtures.stack import LONG_S, Program, Stack, called, eventually

PROGRAM = "tests.e2e.programs.isolated"


async def test_isolated_runs_have_processes_of_their_own(run: Run) -> None:
    worker = await run("pid-of-worker")
    first, second, plain = await asyncio.gather(run("where-am-i"), run("where-am-i"), run("where-am-i-plain"))

    assert len({worker, first["pid"], second["pid"], plain}) == 4
    assert first["machine"] == "small-1x"
    assert first["run"].startswith("run_")
    assert first["worker"].startswith("worker_")


async def test_isolated_parents_trigger_and_wait_as_others_do(run: Run) -> None:
    assert await run("isolated-parent", 3) == [0, 2, 4, 20, 40]
    assert await run("isolated-plain-parent", 3) == [6, 12]


async def test_all_that_a_process_prints_comes_out_of_its_worker(run: Run, everyday_worker: Program) -> None:
    await run("talks-apart", 2_000)

    wanted = [f"line {number} of what it has to say" for number in range(2_000)]
    await eventually(lambda: wanted[-1] in everyday_worker.said, "the last line is there")
    assert [line for line in everyday_worker.said.splitlines() if line.startswith("line ")] == wanted


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("segfault", "TASK_PROCESS_KILLED_BY_SIGNAL", "SIGSEGV"),
        ("overflow", "TASK_PROCESS_KILLED_BY_SIGNAL", "SIGSEGV"),
        ("exit", "TASK_PROCESS_EXITED", "exited with code 3"),
        ("killed", "TASK_PROCESS_MAYBE_OOM_KILLED", "SIGKILL"),
    ],
)
async def test_a_process_that_dies_crashes_its_run_alone(run: Run, how: str, code: str, said: str) -> None:
    neighbour = asyncio.ensure_future(run("isolated-parent", 2))

    run_id = (await tasks.trigger("dies-apart", how)).id
    dead = await runs.poll(run_id, timeout=LONG_S)

    assert dead.status == "CRASHED"
    assert dead.error is not None
    assert dead.error.name == code
    assert said in dead.error.message
    assert f"about to die: {how}" in dead.error.message
    assert "said while it was imported" not in dead.error.message
    assert await neighbour == [0, 2, 20, 40]


async def test_another_fork_server_follows_one_that_died(run: Run) -> None:
    dead = await runs.poll((await tasks.trigger("dies-apart", "parent")).id, timeout=LONG_S)

    assert dead.status == "FAILED"
    assert dead.error is not None
    assert dead.error.name == "TASK_PROCESS_LOST"
    assert await run("isolated-plain-parent", 3) == [6, 12]


async def test_a_signal_to_stop_is_the_workers(run: Run) -> None:
    assert await run("terminates") == [-signal.SIGTERM, -signal.SIGTERM]


async def test_daemon_that_a_run_starts_ends_with_it(run: Run) -> None:
    daemon = await run("starts-a-daemon")

    await eventually(lambda: not _is_there(daemon), "the daemon is gone")


async def test_line_of_log_with_half_a_character_is_kept(run: Run) -> None:
    assert await run("logs-half-a-character") == "said"


async def test_output_that_the_task_closes_is_its_own_affair(run: Run) -> None:
    assert await run("closes-its-output", "nobody") == "nobody"


async def test_a_segfault_shows_where_the_code_was(run: Run) -> None:
    dead = await runs.poll((await tasks.trigger("dies-apart", "segfault")).id, timeout=LONG_S)

    assert dead.error is not None
    assert "isolated.py" in dead.error.message
    assert "in dies_apart" in dead.error.message


async def test_out_of_memory_is_retried_on_the_larger_machine(run: Run) -> None:
    fed = await runs.poll((await tasks.trigger("hungry", 400)).id, timeout=LONG_S)

    assert fed.output == "400 MB"
    assert fed.machine == "small-2x"
    assert fed.attempt_count == 2


@pytest.mark.parametrize("task_id", ["greedy", "refused"])
async def test_out_of_memory_without_a_larger_machine_is_a_crash(run: Run, task_id: str) -> None:
    dead = await runs.poll((await tasks.trigger(task_id, 400 if task_id == "greedy" else None)).id, timeout=LONG_S)

    assert dead.status == "CRASHED"
    assert dead.error is not None
    assert dead.error.name == "TASK_PROCESS_OOM_KILLED"
    assert "micro (0.25 CPUs and 0.25 GB)" in dead.error.message


async def test_a_larger_machine_holds_more(run: Run) -> None:
    assert await run("hungry", 400, machine="small-2x") == "400 MB"


async def test_a_micro_machine_gets_a_quarter_of_a_cpu(run: Run) -> None:
    share = await run("burns-apart", 2.0)

    assert 0.1 < share < 0.45


@pytest.mark.parametrize("how", ["sleeping", "looping"])
async def test_max_duration_ends_plain_isolated_code(run: Run, how: str) -> None:
    ended = await runs.poll((await tasks.trigger("apart-too-long", how)).id, timeout=LONG_S)

    assert ended.status == "TIMED_OUT"


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("task_id", ["apart-asleep", "apart-waiting"])
async def test_cancelling_reaches_code_in_its_process(run: Run, tmp_path: Path, task_id: str) -> None:
    file = tmp_path / "stage"
    handle: RunHandle[Any] = await tasks.trigger(task_id, str(file))
    await eventually(file.exists, "the process runs")

    await runs.cancel(handle)

    await eventually(lambda: file.read_text() == "cancelled", "the hook was called", within_s=4)
    assert (await runs.retrieve(handle)).metadata == {"stage": "asleep"}


async def test_a_cancelled_process_that_does_not_listen_is_killed(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    handle: RunHandle[Any] = await tasks.trigger("apart-stubborn", str(file))
    await eventually(lambda: file.exists() and file.read_text(), "the process runs")
    pids = [int(pid) for pid in file.read_text().split()]
    assert all(_is_there(pid) for pid in pids)

    await runs.cancel(handle)

    assert (await runs.poll(handle.id, timeout=LONG_S)).status == "CANCELED"
    await eventually(lambda: not any(_is_there(pid) for pid in pids), "the process and its child are gone")


async def test_processes_end_with_a_worker_that_is_killed(own_stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    worker = own_stack.start_worker(PROGRAM)
    await worker.announced()
    with called(own_stack.server):
        await tasks.trigger("apart-stubborn", str(file))
    await eventually(lambda: file.exists() and file.read_text(), "the process runs")
    pids = [int(pid) for pid in file.read_text().split()]

    worker.kill()

    await eventually(lambda: not any(_is_there(pid) for pid in pids), "the process and its child are gone")


@pytest.mark.in_memory
async def test_processes_of_runs_that_wait_make_room_for_others(own_stack: Stack, tmp_path: Path) -> None:
    worker = own_stack.start_worker(PROGRAM, memory="1GB")
    await worker.announced()
    with called(own_stack.server):
        waiting = [await _waiting(tmp_path / f"pids{n}") for n in range(3)]
        await eventually(lambda: not _is_there(waiting[0][2][0]), "the first process is gone")
        assert _is_there(waiting[1][2][0])

        for handle, token, _ in waiting:
            await wait.complete_token(token, "open")
            assert (await handle.result(LONG_S)).unwrap() == "open"
    # The first, which goes on in another process, had the second make room in its turn.
    assert [len(_pids(tmp_path / f"pids{n}")) for n in range(3)] == [2, 2, 1]


@pytest.mark.in_memory
async def test_runs_take_turns_where_there_is_room_for_one(production_stack: Stack) -> None:
    worker = production_stack.start_worker(PROGRAM, cpus=1, memory="2GB")
    await worker.announced()
    with called(production_stack.server):
        handles = [await tasks.trigger("apart-for", 0.2) for _ in range(5)]
        what = "the last to be told what it waits for"
        await eventually(partial(_waits_for_room, handles[-1]), what, within_s=LONG_S)
        spans = sorted([(await handle.result(LONG_S)).unwrap() for handle in handles])

    gaps = [after[0] - before[1] for before, after in itertools.pairwise(spans)]
    assert all(gap >= 0 for gap in gaps)


async def _waits_for_room(handle: Any) -> bool:
    reason = (await runs.retrieve(handle)).pending_reason
    return "has room for machine small-2x (1 CPU and 1 GB) now" in str(reason)


async def test_worker_says_that_no_worker_is_large_enough(production_stack: Stack) -> None:
    production_stack.start_server(heartbeat=datetime.timedelta(seconds=0.2))
    worker = production_stack.start_worker(PROGRAM, cpus=0.5, memory="2GB")
    await worker.announced()
    with called(production_stack.server):
        handle: RunHandle[Any] = await tasks.trigger("apart-for", 0.2)
        await eventually(lambda: "machine.too_large" in worker.said, "the worker has said so")

        assert "task=apart-for machine=small-2x" in worker.said
        reason = (await runs.retrieve(handle)).pending_reason
        assert reason is not None
        assert reason.code == "MACHINE_TOO_LARGE"
        production_stack.start_worker(PROGRAM, cpus=1, memory="1GB")
        assert (await handle.result(LONG_S)).ok


def _pids(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


async def _waiting(file: Path) -> tuple[RunHandle[Any], str, list[int]]:
    """Start a run that waits in a process of its own; return it, its token and its process."""
    token = await wait.create_token(timeout="1h")
    handle: RunHandle[Any] = await tasks.trigger("apart-gate", {"pids": str(file), "token": token.id})

    async def waits() -> bool:
        return (await runs.retrieve(handle)).status == "WAITING"

    await eventually(waits, "the run waits")
    return handle, token.id, _pids(file)
