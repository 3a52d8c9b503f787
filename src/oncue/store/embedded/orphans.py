"""Orphans: deal with what an earlier owner of a data folder left behind.

Called by the one process that holds the folder's lock, so no living owner is disturbed. There are three cases:

- ``postmaster.pid`` names a postmaster that runs on this folder: it is asked to stop, then told to. It is never killed
  with SIGKILL, and its file is never removed, because two servers on one folder would destroy it.
- It names a process that is something else (the number was used again): PostgreSQL would believe that it is a
  postmaster and refuse to start. Its pid is replaced by ours, which PostgreSQL knows as its parent and passes over; all
  its other checks, such as that no process is attached to the old shared memory, stay in force.
- It names nobody, or there is no file: PostgreSQL copes by itself.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from oncue.store.errors import FolderInUse

_STATUS_LINE = 7


class PidFile(NamedTuple):
    """What ``postmaster.pid`` says."""

    pid: int
    status: str
    """``starting``, ``ready``, ``stopping`` or ``standby``; empty until PostgreSQL has written it."""


def read_pid_file(data: Path) -> PidFile | None:
    """Return what the data folder's ``postmaster.pid`` says, None if there is none or it is being written."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        return PidFile(abs(int(lines[0])), lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else "")
    except (FileNotFoundError, IndexError, ValueError):
        return None


def clear(data: Path, *, fast_seconds: float = 30, immediate_seconds: float = 10) -> None:
    """Make the data folder free for a new postmaster.

    Args:
        data: The data folder; the caller holds its lock.
        fast_seconds: How long a postmaster may take for an orderly shutdown.
        immediate_seconds: How long it may take after that to drop everything (the next start recovers from the WAL).

    Raises:
        FolderInUse: A postmaster would not stop.
    """
    found = read_pid_file(data)
    if found is None or found.pid == os.getpid() or not _is_alive(found.pid):
        return
    if not _is_postmaster(found.pid, data):
        _disown(data)
        return
    for stop, seconds in ((signal.SIGINT, fast_seconds), (signal.SIGQUIT, immediate_seconds)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, stop)
        if _wait_until_gone(found.pid, seconds):
            return
    raise FolderInUse(f"PostgreSQL process {found.pid} on {data} does not stop; stop it by hand, then start again")


if sys.platform == "linux":

    def _is_alive(pid: int) -> bool:
        try:
            # "PID (name) STATE ..."; a zombie has let go of everything.
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in b"ZX"

    def _is_postmaster(pid: int, data: Path) -> bool:
        """Whether the process is a PostgreSQL server that works in the data folder; in doubt it is."""
        try:
            # A postmaster works inside its data folder.
            return Path(f"/proc/{pid}/cwd").samefile(data)
        except (FileNotFoundError, ProcessLookupError):
            return False
        except PermissionError:
            return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()

else:

    def _is_alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _is_postmaster(pid: int, data: Path) -> bool:
        """Whether the process is a PostgreSQL server that works in the data folder."""
        command = subprocess.run(  # noqa: S603 - fixed program, a number as its argument
            ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
        ).stdout
        return "postgres" in command and str(data) in command


def _disown(data: Path) -> None:
    with (data / "postmaster.pid").open("r+", encoding="utf-8") as file:
        _, _, rest = file.read().partition("\n")
        file.seek(0)
        file.write(f"{os.getpid()}\n{rest}")
        file.truncate()


def _wait_until_gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
