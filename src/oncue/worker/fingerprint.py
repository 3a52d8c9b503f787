"""Fingerprint: what tells the code of one worker from that of another.

Made of the sources of every module that was imported, Python's own and installed packages left out but for those in
which tasks are declared: a worker that is merely restarted has the same one, wherever its files are.
"""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oncue.sdk.task import Task
from oncue.worker.libraries import is_library


def of_code(tasks: Iterable[Task[Any, Any]]) -> str:
    """Return the fingerprint of what is imported now, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    own = {task.function.__module__.partition(".")[0] for task in tasks}
    for name in sorted(sys.modules):
        file = getattr(sys.modules[name], "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        if is_library(file) and name.partition(".")[0] not in own:
            continue
        try:
            source = Path(file).read_bytes()
        except OSError:
            continue
        digest.update(f"{name} {len(source)} ".encode())
        digest.update(source)
    return digest.hexdigest()[:32]
