"""An embedded server whose owner died: nothing is left running, nothing is lost, nothing is in the way."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oncue.store.embedded import orphans
from oncue.store.errors import FolderInUse
from oncue.store.pool import connect
from tests.fixtures.embedded import NewServer, ask, is_running, server_pid

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while is_running(pid):
            await asyncio.sleep(0.01)


def write_pid_file(folder: Path, pid: int) -> None:
    """Leave a ``postmaster.pid`` as a server does that was killed."""
    data = folder / "data"
    file = data / "postmaster.pid"
    file.write_text(f"{pid}\n{data}\n1790000000\n54321\n\n127.0.0.1\n 16909060 16909060\nready   \n")
    file.chmod(0o600)
    os.chown(file, data.stat().st_uid, data.stat().st_gid)


@needs_linux
async def test_server_ends_with_its_killed_owner(made: Path, new_owner: Any) -> None:
    owner = new_owner(made)
    pid = server_pid(made)
    assert is_running(pid)

    owner.kill()

    await until_gone(pid)


@needs_linux
async def test_restart_right_after_a_kill_keeps_the_data(made: Path, new_owner: Any, new_server: NewServer) -> None:
    owner = new_owner(made)
    busy = await connect(owner.url)
    await busy.execute("create table kept as select 1 as one")
    sleeping = asyncio.create_task(busy.execute("select pg_sleep(60)"))
    first = server_pid(made)

    owner.kill()
    async with new_server() as server:
        assert await ask(server.url, "select one from kept") == 1
        assert server_pid(made) != first
        assert not is_running(first)

    with pytest.raises(Exception, match=r"terminating connection|connection was closed"):
        await sleeping


@needs_linux
async def test_owner_that_forgets_to_stop_leaves_nothing(made: Path) -> None:
    forgetful = (
        "import asyncio, sys; from oncue.store.embedded import EmbeddedPostgres; "
        "server = EmbeddedPostgres(sys.argv[1], durable=False); asyncio.run(server.start())"
    )

    subprocess.run([sys.executable, "-c", forgetful, made], check=True, timeout=30)

    if orphans.read_pid_file(made / "data") is not None:
        await until_gone(server_pid(made))


async def test_orphan_that_still_runs_is_stopped(made: Path, new_server: NewServer) -> None:
    orphaned = new_server()
    await orphaned.start()
    await ask(orphaned.url, "create table kept as select 1 as one")
    first = server_pid(made)
    assert orphaned._lock is not None
    orphaned._lock.release()

    async with new_server() as server:
        assert not is_running(first)
        assert await ask(server.url, "select one from kept") == 1


async def test_pid_file_of_a_dead_server_is_passed_over(made: Path, new_server: NewServer) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    write_pid_file(made, dead.pid)

    async with new_server() as server:
        assert await ask(server.url, "select 1") == 1


async def test_pid_used_again_by_another_program_is_spared(made: Path, new_server: NewServer) -> None:
    # The same user as PostgreSQL's, or PostgreSQL itself would see that it is none of its own.
    user = (made / "data").stat().st_uid
    bystander = subprocess.Popen(["sleep", "60"], user=user if os.geteuid() == 0 else None)
    try:
        write_pid_file(made, bystander.pid)

        async with new_server() as server:
            assert await ask(server.url, "select 1") == 1

        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_server_that_will_not_stop_is_left_alone(made: Path) -> None:
    deaf = "import signal as s; [s.signal(n, s.SIG_IGN) for n in (s.SIGINT, s.SIGQUIT)]; print(flush=True); s.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], cwd=made / "data", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        write_pid_file(made, process.pid)

        with pytest.raises(FolderInUse, match=f"PostgreSQL process {process.pid} on .* does not stop"):
            orphans.clear(made / "data", fast_seconds=0.02, immediate_seconds=0.02)

        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("content", ["", "\n", "no number\n"])
def test_unreadable_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "postmaster.pid").write_text(content)

    assert orphans.read_pid_file(tmp_path) is None
    orphans.clear(tmp_path)
