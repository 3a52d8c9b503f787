"""Fingerprint: what tells the code of one worker from that of another.

Made of the sources of every module that was imported for the tasks, Python's own and installed packages left out: a
worker that is merely restarted has the same one, wherever its files are.
"""

import hashlib
import sys
from pathlib import Path

from oncue.worker.libraries import is_library


def of_code() -> str:
    """Return the fingerprint of what is imported now, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(sys.modules):
        file = getattr(sys.modules[name], "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or is_library(file):
            continue
        try:
            source = Path(file).read_bytes()
        except OSError:
            continue
        digest.update(f"{name} {len(source)} ".encode())
        digest.update(source)
    return digest.hexdigest()[:32]
