"""Postmaster: run one PostgreSQL server process and know when it is ready and when it has ended.

Linux ends the server when the *thread* that started it dies (see ``launcher``), so it is started by a thread of its own
that lives exactly as long as the server does: it starts it, then waits for its end. It is a daemon thread, so a program
that forgets ``stop`` still ends, and PostgreSQL with it.

The server gets a session of its own: Ctrl-C in the terminal is for us, who stop it last. It does not get our
environment, which may hold secrets.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oncue.store.embedded.account import Account
from oncue.store.embedded.orphans import read_pid_file
from oncue.store.errors import StartFailed

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_POLL_SECONDS: Final = 0.004
"""A warm start takes 50 ms, and reading the status costs 20 µs."""


def command_line(account: Account | None, data: Path, program: Path, *arguments: str) -> list[str]:
    """Return the command that becomes a PostgreSQL program through the launcher."""
    uid, gid = account or (-1, -1)
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(uid), str(gid), str(data)]
    return [*launcher, str(program), *arguments]


def environment() -> dict[str, str]:
    """Return what PostgreSQL's programs may see of our environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


class Postmaster:
    """One run of a server."""

    def __init__(self, command: Sequence[str], *, data: Path, log: Path) -> None:
        self._command, self._data, self._log = command, data, log
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._spawned = threading.Event()
        self.ended = threading.Event()
        """Set when the server process has ended, for whatever reason."""

    def start(self, *, seconds: float) -> None:
        """Start the server and wait until it accepts connections.

        Args:
            seconds: How long it may take; after a crash it first recovers from the WAL.

        Raises:
            StartFailed: It ended or was not ready in time. The message ends with its last words.
        """
        threading.Thread(target=self._run, name="oncue-postgres", daemon=True).start()
        self._spawned.wait()
        if self._failure is not None:
            raise StartFailed(f"PostgreSQL could not be executed: {self._failure}") from self._failure
        deadline = time.monotonic() + seconds
        while not self.ended.wait(_POLL_SECONDS):
            if self._is_ready():
                return
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(f"PostgreSQL was not ready after {seconds:g} s; its log {self._log} says why")
        raise StartFailed(f"PostgreSQL ended while starting: {self.last_words()}")

    def stop(self, *, fast_seconds: float = 30) -> None:
        """Stop the server: connections are cut, committed work is kept. Harmless when it has ended.

        Args:
            fast_seconds: How long the orderly way may take before everything is dropped; the next start then recovers.
        """
        for order, seconds in ((signal.SIGINT, fast_seconds), (signal.SIGQUIT, 10), (signal.SIGKILL, None)):
            if self._process is None or self.ended.is_set():
                return
            self._process.send_signal(order)
            self.ended.wait(seconds)

    def last_words(self) -> str:
        """Return the end of the log, on one line."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:]
        return " / ".join(line.strip() for line in lines if line.strip()) or "it said nothing"

    def _run(self) -> None:
        try:
            with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own programs
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=environment(),
                    start_new_session=True,
                )
        except OSError as error:
            self._failure = error
            self.ended.set()
            return
        finally:
            self._spawned.set()
        self._process.wait()
        self.ended.set()

    def _is_ready(self) -> bool:
        found = read_pid_file(self._data)
        return (
            found is not None
            and self._process is not None
            and (found.pid, found.status) == (self._process.pid, "ready")
        )
