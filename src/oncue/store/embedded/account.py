"""Account: which user runs PostgreSQL when oncue itself runs as root.

PostgreSQL refuses to run as root, and containers often are. Then an unprivileged user owns the data folder and runs
the server; how the process becomes that user is the launcher's part.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

from oncue.store.errors import EmbeddedError

if sys.platform != "win32":
    import pwd

_CANDIDATES = ("nobody", "postgres", "daemon")


class Account(NamedTuple):
    """A user and its group, by number."""

    uid: int
    gid: int


def choose(data: Path) -> Account | None:
    """Return who shall run PostgreSQL on a data folder, or None to stay who we are.

    An existing data folder keeps its owner, so that it stays usable when the list of users changes.

    Raises:
        EmbeddedError: We are root and there is no other user to become.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    if data.exists() and (found := data.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0 and _exists_here(entry.pw_uid):
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(_CANDIDATES)} exists here; "
        "start oncue as another user, or set DATABASE_URL to a server"
    )


def _exists_here(uid: int) -> bool:
    """Whether this user namespace maps the user; setuid to one that is not mapped fails."""
    try:
        ranges = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in map(str.split, ranges))
