"""Launcher: a script that becomes PostgreSQL, with the right user and a leash to its parent.

Run as ``python -I -S launcher.py PARENT UID GID DATA PROGRAM [ARGUMENT ...]``; it needs the standard library only,
imports nothing of oncue, and ends by executing PROGRAM in its place.

What it settles before that:

1. **User.** UID -1 stays who we are. Otherwise it becomes UID:GID for good. The programs or the data folder may lie
   below a folder that only root can enter (a 0700 temporary folder, root's home). Only if UID cannot reach them, one
   capability is kept: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where that is all there is (Docker) or where the program
   is executable for root alone. It survives the exec as an ambient capability. ``access(2)``, which initdb asks,
   ignores the capabilities of a process that left root, unless SECBIT_NO_SETUID_FIXUP is set before leaving.
2. **Leash.** Linux sends SIGINT (PostgreSQL's fast shutdown) when the *thread* that forked us dies, so a server never
   outlives its owner. Set after the change of user, which clears it. Other systems have no such thing: there the next
   start on the folder stops what was left behind.

Source: capabilities(7), prctl(2), access(2).
"""

import ctypes
import os
import signal
import stat
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522

EXIT_REFUSED = 77
"""Exit status when nothing was executed; standard error says why in one line."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def main(arguments: list[str]) -> None:
    """Become the program; return only by raising SystemExit."""
    parent, uid, gid = (int(argument) for argument in arguments[:3])
    data, program, *rest = arguments[3:]
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if uid != -1:
        try:
            _become(libc, uid, gid, data, program)
        except OSError as error:
            _refuse(f"cannot leave root for user {uid}: {error.strerror}")
    for path, mode in ((program, os.X_OK), (data, os.R_OK | os.W_OK | os.X_OK)):
        if not os.access(path, mode):
            _refuse(f"user {os.getuid()} cannot use {path}; let it enter the folders above")
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != parent:  # it died before the leash was on
        _refuse("the process that wanted PostgreSQL is gone")
    os.execv(program, [program, *rest])  # noqa: S606 - no shell is the point


def _become(libc: ctypes.CDLL | None, uid: int, gid: int, data: str, program: str) -> None:
    capability = None if libc is None or _can_reach(uid, gid, data, program) else _choose(libc, program)
    if libc is not None and capability is not None and libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0):
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setregid(gid, gid)
    os.setreuid(uid, uid)
    if libc is not None and capability is not None:
        _keep(libc, capability)


def _can_reach(uid: int, gid: int, data: str, program: str) -> bool:
    """Try, as the user without any capability, what PostgreSQL will need."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        return all(os.access(path, os.R_OK | os.X_OK, effective_ids=True) for path in (data, program))
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _choose(libc: ctypes.CDLL, program: str) -> int | None:
    """Pick the weakest capability that reaches everything, of those we have."""
    sets = (_Sets * 2)()
    if libc.capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), sets):
        return None
    wanted = [_CAP_DAC_OVERRIDE]
    if os.stat(program).st_mode & stat.S_IXOTH:  # noqa: PTH116 - pathlib would cost a third of our start
        wanted.insert(0, _CAP_DAC_READ_SEARCH)
    return next((capability for capability in wanted if sets[0].permitted & 1 << capability), None)


def _keep(libc: ctypes.CDLL, capability: int) -> None:
    """Reduce the capabilities to one and let it survive the exec; a failure shows in the access check after this."""
    mask = 1 << capability
    sets = (_Sets * 2)()
    sets[0] = _Sets(mask, mask, mask)
    libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), sets)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _refuse(reason: str) -> None:
    sys.stderr.write(f"oncue: {reason}\n")
    sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main(sys.argv[1:])
