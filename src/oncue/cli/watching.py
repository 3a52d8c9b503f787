"""Watching: notice that Python files changed, by looking at their times.

Looking costs a few milliseconds for a project of hundreds of files and works everywhere: on network drives, in
containers, without another package.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Final, TypeAlias

_PAUSE_S: Final = 0.3
_SETTLE_S: Final = 0.1
"""An editor or a checkout writes several files; one restart is enough."""
_SHARE: Final = 20
"""A large tree is looked at less often, so that looking takes at most a twentieth of the time."""

_Seen: TypeAlias = dict[str, tuple[int, int]]


def root_of(target: str) -> Path:
    """Return the folder whose files a worker's target can import: that of the outermost package, or the current one."""
    path = Path(target)
    if path.is_dir():
        folder = path.resolve()
    elif path.suffix == ".py" or os.sep in target:
        folder = path.resolve().parent
    else:
        return Path.cwd()
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    return folder


class Watcher:
    """The Python files below a folder, as they were when last looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = _look(folder)

    async def changed(self) -> list[str]:
        """Wait until files were changed, added or removed; return them relative to the folder, in order."""
        while True:
            found, took_s = await asyncio.to_thread(_timed_look, self._folder)
            if found != self._seen:
                break
            await asyncio.sleep(max(_PAUSE_S, took_s * _SHARE))
        while True:
            await asyncio.sleep(_SETTLE_S)
            later, _ = await asyncio.to_thread(_timed_look, self._folder)
            if later == found:
                break
            found = later
        before, self._seen = self._seen, found
        return self._differing(before, found)

    def _differing(self, before: _Seen, after: _Seen) -> list[str]:
        differing = (path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return sorted(os.path.relpath(path, self._folder) for path in differing)


def _timed_look(folder: Path) -> tuple[_Seen, float]:
    began = time.monotonic()
    return _look(folder), time.monotonic() - began


def _look(folder: Path) -> _Seen:
    """Return time and size of each Python file; hidden folders and virtual environments are left out."""
    seen: _Seen = {}
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                inside = list(entries)
        except OSError:
            continue  # gone meanwhile, or not ours to read
        if any(entry.name == "pyvenv.cfg" for entry in inside):
            continue
        for entry in inside:
            if entry.name.startswith(".") or entry.name in {"__pycache__", "node_modules"}:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.name.endswith(".py"):
                try:
                    found = entry.stat()
                except OSError:
                    continue
                seen[entry.path] = (found.st_mtime_ns, found.st_size)
    return seen
