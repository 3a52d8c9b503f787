"""Folder: what an embedded PostgreSQL keeps on disk, and who may start it.

::

    .oncue/postgres/        0700, ours
        data/               PostgreSQL's own; belongs to the account that runs it
        owner.lock          held with flock while a process owns the server; "PID" and, once ready, "PORT" inside
        password            0600; the superuser's, made once
        server.log          what PostgreSQL wrote, the older part in server.log.1

A half-made data folder is never seen: it is made as ``data.new`` and renamed when complete. The lock, not a pid, tells
owners from orphans: the kernel drops it with the process, however that died.
"""

import contextlib
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Final, Self

from oncue.store.errors import DataFolderUnusable, EmbeddedError

if sys.platform != "win32":
    import fcntl

USER: Final = "oncue"
_LOG_LIMIT_BYTES: Final = 8 * 1024 * 1024


class Folder:
    """Paths below the folder of one embedded PostgreSQL, which is created on first use."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - links stay as the operator wrote them
        self.data = self.root / "data"
        self.unfinished_data = self.root / "data.new"
        self.lock = self.root / "owner.lock"
        self.password = self.root / "password"
        self.log = self.root / "server.log"

    def prepare(self) -> None:
        """Create the folder, readable for us only.

        Raises:
            DataFolderUnusable: It belongs to somebody else, or cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="ascii")
        except OSError as error:
            raise DataFolderUnusable(
                f"{self.root} cannot be used ({error.strerror}); name another folder, or set DATABASE_URL to a server"
            ) from error

    def let_others_enter(self) -> None:
        """Let the account that runs PostgreSQL pass through to its data; what is ours stays closed to it."""
        self.root.chmod(0o711)

    def rotate_log(self) -> None:
        """Put a long log aside, so that a folder cannot grow for ever."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def read_password(self) -> str:
        """Return the superuser's password; it is made on first use.

        Raises:
            DataFolderUnusable: There is data, but its password file is gone.
        """
        with contextlib.suppress(FileNotFoundError):
            return self.password.read_text(encoding="ascii").strip()
        if self.data.exists():
            raise DataFolderUnusable(f"{self.password} is missing; put it back, or move {self.root} away to start anew")
        password = secrets.token_urlsafe(24)
        written = self.password.with_suffix(".new")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(password)
        written.replace(self.password)
        return password

    def refuse_other_version(self, major: int) -> None:
        """Raise unless the data, if there is any, was made by this major version of PostgreSQL.

        Raises:
            DataFolderUnusable: Another version made it; PostgreSQL cannot read across major versions.
        """
        if not self.data.exists():
            return
        try:
            found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        except OSError as error:
            raise DataFolderUnusable(
                f"{self.data} is not a PostgreSQL data folder ({error.strerror}); move it away to start anew"
            ) from error
        if found != str(major):
            raise DataFolderUnusable(
                f"{self.data} was made by PostgreSQL {found}, the programs here are {major}; start it with the bin "
                f"folder of a PostgreSQL {found}, copy the data over with pg_dump, or move it away to start anew"
            )

    def discard_unfinished(self) -> None:
        """Remove what an interrupted start left half-made."""
        if self.unfinished_data.exists():
            shutil.rmtree(self.unfinished_data)


class OwnerLock:
    """The right to run a server on a folder, held until ``release`` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self | None:
        """Take the lock and write our process id into it, or return None if a living process has it.

        Raises:
            EmbeddedError: This system has no flock.
        """
        if sys.platform == "win32":
            raise EmbeddedError("oncue starts no PostgreSQL on Windows; set DATABASE_URL to a server, or use WSL")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        lock = cls(descriptor)
        lock._write(f"{os.getpid()}\n")
        return lock

    def publish(self, port: int) -> None:
        """Tell other processes the port of the server, which is ready now."""
        self._write(f"{os.getpid()}\n{port}\n")

    def release(self) -> None:
        """Give the folder free; harmless when done already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, content: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content.encode("ascii"), 0)


def read_owner(lock: Path) -> tuple[int | None, int | None]:
    """Return the owner's process id and its server's port, as far as it has published them."""
    try:
        lines = lock.read_text(encoding="ascii").split("\n")
    except OSError:
        return None, None
    # The last line ends with a newline once it is complete.
    numbers = [int(line) for line in lines[:-1] if line.isdigit()]
    return numbers[0] if numbers else None, numbers[1] if len(numbers) > 1 else None
