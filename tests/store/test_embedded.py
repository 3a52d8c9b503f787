"""An embedded server: made, started, joined and stopped."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from oncue.store.embedded import EmbeddedPostgres, binaries
from oncue.store.embedded import server as server_module
from oncue.store.errors import BinariesMissing, DataFolderUnusable, EmbeddedError, FolderInUse, StartFailed
from tests.fixtures.embedded import NewServer, ask, is_running, server_pid

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


async def test_second_start_keeps_what_was_written(new_server: NewServer) -> None:
    async with new_server(durable=True) as server:
        assert await ask(server.url, "show fsync") == "on"
        assert await ask(server.url, "show synchronous_commit") == "on"
        await ask(server.url, "create table kept as select 1 as one")

    async with new_server(durable=True) as server:
        assert await ask(server.url, "select one from kept") == 1


async def test_stopped_server_is_gone_and_unnamed(new_server: NewServer, made: Path) -> None:
    server = new_server()
    await server.start()
    pid, url = server_pid(made), server.url

    await server.stop()
    await server.stop()

    assert not is_running(pid)
    with pytest.raises(EmbeddedError, match="not started"):
        _ = server.url
    assert url.startswith("postgresql://")


async def test_settings_and_lack_of_durability_reach_the_server(new_server: NewServer, made: Path) -> None:
    async with new_server(settings={"work_mem": "5MB", "max_connections": "33"}) as server:
        shown = [await ask(server.url, f"show {name}") for name in ("work_mem", "max_connections", "fsync", "jit")]

    assert shown == ["5MB", "33", "off", "off"]


async def test_two_folders_side_by_side_are_two_servers(new_server: NewServer, tmp_path: Path) -> None:
    async with new_server(tmp_path / "one") as one, new_server(tmp_path / "two") as two:
        await ask(one.url, "create table only_here ()")

        assert await ask(two.url, "select to_regclass('only_here')") is None
        assert one.url != two.url


async def test_folder_with_a_living_owner_is_refused(new_server: NewServer, made: Path) -> None:
    async with new_server() as server:
        with pytest.raises(FolderInUse, match=f"process {os.getpid()} runs PostgreSQL"):
            await new_server().start()

        assert await ask(server.url, "select 1") == 1


async def test_joined_server_outlives_the_one_that_joined(new_server: NewServer, made: Path) -> None:
    async with new_server() as server:
        async with new_server(join=True) as joined:
            assert (joined.url, joined.is_owner, server.is_owner) == (server.url, False, True)

        assert await ask(server.url, "select 1") == 1


async def test_joining_waits_for_a_server_that_is_starting(new_server: NewServer) -> None:
    servers = [new_server(join=True) for _ in range(3)]

    await asyncio.gather(*(server.start() for server in servers))

    assert len({server.url for server in servers}) == 1
    assert sum(server.is_owner for server in servers) == 1


async def test_folder_belongs_to_its_owner_alone(new_server: NewServer, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "postgres"

    async with new_server(folder):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}

    assert modes["postgres"] == (0o711 if os.geteuid() == 0 else 0o700)
    assert {modes[name] for name in ("password", "owner.lock", "server.log")} == {0o600}
    assert modes["data"] == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    assert set(modes) == {"postgres", "password", "owner.lock", "server.log", "data", ".gitignore"}


async def test_connection_without_the_password_is_refused(new_server: NewServer, made: Path) -> None:
    async with new_server() as server:
        password = server.url.split(":")[2].split("@")[0]

        with pytest.raises(Exception, match="password authentication failed"):
            await ask(server.url.replace(password, "guess"), "select 1")


async def test_server_sees_no_secret_of_ours(
    new_server: NewServer, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_SECRET_KEY", "tr_dev_sk_hidden")

    async with new_server():
        seen = Path(f"/proc/{server_pid(made)}/environ").read_bytes()

    assert b"TRIGGER_SECRET_KEY" not in seen


async def test_terminal_interrupt_does_not_reach_the_server(new_server: NewServer, made: Path) -> None:
    async with new_server():
        assert os.getsid(server_pid(made)) != os.getsid(0)


async def test_bad_setting_is_told_and_frees_the_folder(new_server: NewServer, made: Path) -> None:
    with pytest.raises(StartFailed, match=r'PostgreSQL ended while starting: .*"shared_buffers": "lots"'):
        await new_server(settings={"shared_buffers": "lots"}).start()

    async with new_server() as server:
        assert await ask(server.url, "select 1") == 1


async def test_taken_port_is_given_up_for_another(
    new_server: NewServer, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = server_module._free_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1]]
        monkeypatch.setattr(server_module, "_free_port", lambda: ports.pop() if ports else free_port())

        async with new_server() as server:
            assert await ask(server.url, "select 1") == 1
            assert str(taken.getsockname()[1]) not in server.url

    assert ports == []


async def test_cancelled_start_leaves_nothing_running(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server()
    starting = asyncio.create_task(server.start())
    while not (tmp_path / "postgres" / "data.new").exists():
        await asyncio.sleep(0)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not (tmp_path / "postgres" / "data" / "postmaster.pid").exists()
    async with new_server():
        pass


async def test_half_made_data_is_made_anew(new_server: NewServer, tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data.new").mkdir(parents=True)
    (tmp_path / "postgres" / "data.new" / "PG_VERSION").write_text("18\n")

    async with new_server() as server:
        assert await ask(server.url, "select 1") == 1


async def test_data_of_another_version_is_refused(new_server: NewServer, made: Path) -> None:
    (made / "data" / "PG_VERSION").write_text("14\n")

    with pytest.raises(DataFolderUnusable, match=r"was made by PostgreSQL 14, the programs here are \d+; start it"):
        await new_server().start()


async def test_lost_password_of_existing_data_is_told(new_server: NewServer, made: Path) -> None:
    (made / "password").unlink()

    with pytest.raises(DataFolderUnusable, match=r"password is missing; put it back"):
        await new_server().start()


async def test_folder_that_cannot_be_made_is_told(new_server: NewServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataFolderUnusable, match="cannot be used"):
        await new_server(tmp_path / "file" / "postgres").start()


async def test_long_log_is_put_aside(new_server: NewServer, made: Path) -> None:
    log = made / "server.log"
    with log.open("ab") as file:
        file.truncate(9 * 1024 * 1024)

    async with new_server():
        pass

    assert log.stat().st_size < 100_000
    assert log.with_name("server.log.1").stat().st_size > 8_000_000


def test_folder_without_programs_is_told(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match="has no 'postgres'; name the bin folder of a PostgreSQL 15"):
        binaries.find(tmp_path)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("echo 'postgres (PostgreSQL) 14.9'", "is PostgreSQL 14; oncue needs 15 or newer"),
        ("echo hello", "said 'hello'; a PostgreSQL server was expected"),
        ("exit 1", "does not run here"),
    ],
)
def test_unsuitable_programs_are_told(tmp_path: Path, says: str, message: str) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)

    with pytest.raises(BinariesMissing, match=message):
        binaries.find(tmp_path)


@pytest.mark.skipif(not POSTGRES_15.exists(), reason="no PostgreSQL 15 is installed")
async def test_another_postgresql_can_stand_in(new_server: NewServer) -> None:
    async with new_server(bin_dir=POSTGRES_15) as server:
        assert (await ask(server.url, "show server_version")).startswith("15.")


def test_describing_a_server_starts_nothing(tmp_path: Path) -> None:
    EmbeddedPostgres(tmp_path / "postgres")

    assert not (tmp_path / "postgres").exists()
