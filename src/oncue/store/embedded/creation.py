"""Creation: make the data folder of an embedded PostgreSQL with initdb.

Made beside its place and renamed when complete, so an interrupted start leaves nothing that looks finished.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from oncue.store.embedded.account import Account
from oncue.store.embedded.binaries import Binaries
from oncue.store.embedded.folder import USER, Folder
from oncue.store.embedded.postmaster import command_line, environment
from oncue.store.errors import StartFailed

_SCRAM_ITERATIONS_SINCE: Final = 16


def create(folder: Folder, programs: Binaries, runs_as: Account | None, *, durable: bool) -> None:
    """Make the data folder; its superuser gets the folder's password.

    Args:
        folder: Must have no data yet; the caller holds its lock.
        programs: The PostgreSQL whose data it will be.
        runs_as: Who will own it; None is us.
        durable: Whether to wait until all of it is on the disk.

    Raises:
        StartFailed: initdb failed; the message has its last words.
    """
    folder.discard_unfinished()
    data = folder.unfinished_data
    data.mkdir(mode=0o700)
    if runs_as is not None:
        os.chown(data, runs_as.uid, runs_as.gid)
    with _password_file(folder, runs_as) as password:
        options = [
            f"--pwfile={password}",
            f"--username={USER}",
            "--auth=scram-sha-256",
            "--locale=C",
            "--encoding=UTF8",
        ]
        if programs.major >= _SCRAM_ITERATIONS_SINCE:
            # Stretching protects words that people choose; ours is random, and each connection would pay 10 ms.
            options += ["--set", "scram_iterations=1"]
        if not durable:
            options.append("--no-sync")
        made = subprocess.run(  # noqa: S603 - our own programs
            command_line(runs_as, data, programs.initdb, "-D", str(data), *options),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
    if made.returncode:
        raise StartFailed(f"initdb failed: {' / '.join(made.stderr.strip().splitlines()[-4:])}")
    data.rename(folder.data)


@contextmanager
def _password_file(folder: Folder, runs_as: Account | None) -> Iterator[Path]:
    """Lend the password to initdb, which may run as somebody who cannot read ours."""
    lent = folder.root / "password.initdb"
    lent.unlink(missing_ok=True)
    descriptor = os.open(lent, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, folder.read_password().encode("ascii") + b"\n")
        os.close(descriptor)
        if runs_as is not None:
            os.chown(lent, runs_as.uid, runs_as.gid)
        yield lent
    finally:
        lent.unlink()
