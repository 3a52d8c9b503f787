"""Isolation below the worker: control groups, usage, and what a death means."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oncue.protocol.failures import BuiltInError, InternalError
from oncue.protocol.machines import SIZES
from oncue.protocol.work import Ended, Failed, OutOfMemory
from oncue.sdk.settings import Settings
from oncue.worker.isolation import cgroups, deaths, usage
from oncue.worker.isolation.cgroups import Cgroup
from oncue.worker.isolation.warm import IsolationFailed, RunProcess, WarmProcess

pytestmark = pytest.mark.skipif(not usage.is_known(), reason="needs /proc")


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A process of 40 MB whose child has 60 MB more; it prints a line when both are there."""
    child = "held = bytearray(b'x') * 60_000_000; print('there', flush=True); input()"
    code = (
        "import subprocess, sys; held = bytearray(b'x') * 40_000_000; "
        f"subprocess.run([sys.executable, '-c', {child!r}], stdin=sys.stdin)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        yield process
        process.communicate("\n", timeout=20)


def test_memory_of_descendants_is_counted(family: subprocess.Popen[str]) -> None:
    pids = usage.family(family.pid)

    assert len(pids) == 2
    assert usage.memory_exceeds(pids, 100_000_000)
    assert not usage.memory_exceeds(pids, 160_000_000)
    assert not usage.memory_exceeds(pids[:1], 90_000_000)


def test_usage_of_a_process_that_has_ended_is_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(20)

    assert usage.family(process.pid) == [process.pid]
    assert usage.cpu_s([process.pid]) == 0
    assert not usage.memory_exceeds([process.pid], 0)


def test_cpu_time_of_this_process_is_known() -> None:
    before_s = usage.cpu_s([os.getpid()])
    while usage.cpu_s([os.getpid()]) < before_s + 0.02:
        pass

    assert usage.cpu_s([os.getpid()]) > before_s


async def test_too_many_open_files_fail_the_run_with_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "forked_tasks.py").write_text("from oncue import task\n\n@task\ndef nothing() -> None: ...\n")
    forked: list[RunProcess] = []
    processes = WarmProcess(
        (str(tmp_path / "forked_tasks.py"),), Settings("http://127.0.0.1:9", "tr_dev_sk_none"), "INFO"
    )
    try:
        forked.append(await processes.fork(SIZES["micro"]))
        before = len(list(Path("/proc/self/fd").iterdir()))
        made: list[tuple[int, int]] = []

        def pipe() -> tuple[int, int]:
            if made:
                raise OSError(errno.EMFILE, "Too many open files")
            made.append(os.pipe2(0))
            return made[0]

        with monkeypatch.context() as patched:
            patched.setattr(os, "pipe", pipe)
            with pytest.raises(IsolationFailed, match="Too many open files"):
                await processes.fork(SIZES["micro"])
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        forked.append(await processes.fork(SIZES["micro"]))
        assert len({process.pid for process in forked}) == 2
    finally:
        await processes.close()
        for process in forked:
            process.connection.close()
            for file in (process.output._out[0], process.output._err[0]):
                os.close(file)


def _hierarchy(folder: Path, *, own: str, enabled: str) -> Path:
    """Lay the files out that the kernel would show; none of them does anything."""
    root = folder / "cgroup"
    parent = (root / own.lstrip("/")).parent
    parent.mkdir(parents=True)
    (parent / "cgroup.subtree_control").write_text(enabled)
    (parent / "cgroup.procs").write_text("")
    (folder / "own").write_text(f"0::{own}\n")
    return root


def test_group_is_used_only_where_its_parent_was_handed_over(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    handed = _hierarchy(one, own="/app.service/worker", enabled="cpu memory pids\n")
    kept = _hierarchy(other, own="/app.service/worker", enabled="cpu pids\n")

    def is_handed(group: Path) -> bool:
        return group.name == "app.service"

    assert cgroups.delegated(one / "own", handed) is None
    assert cgroups.delegated(one / "own", handed, is_handed=is_handed) == handed / "app.service"
    assert cgroups.delegated(tmp_path / "nothing", handed, is_handed=is_handed) is None
    assert cgroups.delegated(other / "own", kept, is_handed=is_handed) == kept / "app.service"
    assert (kept / "app.service" / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_group_has_the_limits_of_its_machine(tmp_path: Path) -> None:
    path = tmp_path / "oncue-77"
    group = Cgroup.make(path, 77, SIZES["micro"])

    assert {file.name: file.read_text() for file in path.iterdir()} == {
        "memory.max": str(256 * 1024 * 1024),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "25000 100000",
        "cgroup.procs": "77",
    }
    assert not group.was_out_of_memory()
    (path / "memory.events").write_text("low 0\nmax 12\noom 1\noom_kill 1\n")
    assert group.was_out_of_memory()


@pytest.mark.parametrize(
    ("code", "out_of_memory", "name", "said"),
    [
        (-signal.SIGSEGV, False, "TASK_PROCESS_KILLED_BY_SIGNAL", "ended by SIGSEGV (Segmentation fault)"),
        (-signal.SIGKILL, False, "TASK_PROCESS_MAYBE_OOM_KILLED", "killed (SIGKILL)"),
        (-250, False, "TASK_PROCESS_KILLED_BY_SIGNAL", "ended by signal 250"),
        (0, False, "TASK_PROCESS_EXITED", "exited with code 0"),
        (-signal.SIGKILL, True, "TASK_PROCESS_OOM_KILLED", "memory of machine large-1x (4 CPUs and 8 GB)"),
    ],
)
def test_death_is_told_from_how_it_came(code: int, out_of_memory: bool, name: str, said: str) -> None:
    outcome = deaths.outcome_of(
        "run_a", 3, code=code, out_of_memory=out_of_memory, machine="large-1x", last_lines="the end"
    )

    assert isinstance(outcome, OutOfMemory if out_of_memory else Ended)
    assert isinstance(outcome.error, InternalError)
    assert outcome.error.code == name
    assert said in outcome.error.message
    assert outcome.error.message.endswith("its last output:\nthe end")


def test_memory_error_of_the_task_counts_as_out_of_memory() -> None:
    refused = Failed("run_a", 3, 5, BuiltInError("MemoryError", "", "Traceback"))
    other = Failed("run_a", 3, 5, BuiltInError("ValueError", "", "Traceback"))

    told = deaths.refused_memory(refused, "micro")

    assert isinstance(told, OutOfMemory)
    assert (told.run_id, told.epoch) == ("run_a", 3)
    assert isinstance(told.error, InternalError)
    assert told.error.code == "TASK_PROCESS_OOM_KILLED"
    assert deaths.refused_memory(other, "micro") is other
