"""Discovery: import the code that a worker was pointed at, and find the tasks that it declares.

A target is a module (``my_app.tasks``), a file or a folder. Imports see what they would see under ``python -m module``
or ``python file.py``; a file inside a package is imported as a part of that package, so that its relative imports work.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from oncue.protocol.errors import SettingsError
from oncue.protocol.work import TaskDeclaration
from oncue.sdk import registry
from oncue.sdk.task import Task
from oncue.worker.libraries import is_library

_DECLARE: Final = "declare one with `from oncue import task` and @task above a function"


def discover(targets: Iterable[str]) -> list[Task[Any, Any]]:
    """Import targets and return every task that this process then has, in order of definition.

    Raises:
        SettingsError: A target does not exist or cannot be imported (names the file and line), or there is no task.
    """
    named = list(targets)
    for target in named:
        for module, file in _modules(target):
            _load(module, file, target)
    tasks = registry.all_tasks()
    if not tasks:
        raise SettingsError(f"no task found in {', '.join(named)}; {_DECLARE}")
    return tasks


def declarations(tasks: Iterable[Task[Any, Any]]) -> list[TaskDeclaration]:
    """Return what a worker announces of its tasks.

    Raises:
        SettingsError: An annotation cannot be resolved, or JSON cannot be read into it; names the task.
    """
    declared = []
    for task in tasks:
        try:
            declared.append(registry.declaration(task))
        except TypeError as error:
            raise SettingsError(f"task {task.id!r} at {task.file} cannot be announced: {error}") from error
    return declared


def _modules(target: str) -> Iterator[tuple[str, Path | None]]:
    """Yield the modules of a target, with the file where that is known, and make them importable."""
    path = Path(target)
    if path.is_dir():
        folder = path.resolve()
        root = _make_importable(folder)
        files = list(_python_files(folder))
        if not files:
            raise SettingsError(f"{target} has no Python file; expected a folder with tasks in it")
        for file in files:
            yield _dotted(file, root), file
    elif path.suffix == ".py" or os.sep in target:
        if not path.is_file():
            raise SettingsError(f"{target} does not exist; expected a Python file, a folder or a module's name")
        file = path.resolve()
        yield _dotted(file, _make_importable(file.parent)), file
    else:
        _put_on_path(Path.cwd())
        yield target, None


def _python_files(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        here = Path(path)
        # Neither hidden folders nor virtual environments hold tasks; sorted, so that each start is the same.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__")) and name.isidentifier() and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            file = here / name
            # Imported, a __main__.py would run the program; and no import can name a file that is no identifier.
            if file.suffix == ".py" and file.stem != "__main__" and file.stem.isidentifier():
                yield file


def _make_importable(folder: Path) -> Path:
    """Put the folder above the outermost package on ``sys.path``; return it."""
    root = folder
    while (root / "__init__.py").exists() and root.parent != root:
        root = root.parent
    _put_on_path(root)
    return root


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _dotted(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _load(name: str, file: Path | None, target: str) -> None:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise SettingsError(_explained(error, name, target)) from error
    found = getattr(module, "__file__", None)
    if file is not None and (found is None or Path(found).resolve() != file):
        origin = found or "Python itself"
        raise SettingsError(f"{file} cannot be imported as {name!r}, which is {origin}; give the file another name")


def _explained(error: BaseException, name: str, target: str) -> str:
    """Say in one line what went wrong and where."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"cannot import {target}: {type(error).__name__}: {error.msg} ({_near(error.filename)}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    users = [frame for frame in frames if not is_library(frame.filename)]
    if not users and isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
        return (
            f"there is no module {error.name!r}; expected a module that can be imported from {Path.cwd()}, "
            "a file such as tasks.py, or a folder"
        )
    place = f" ({_near(users[-1].filename)}:{users[-1].lineno})" if users else ""
    text = " ".join(str(error).split())
    return f"cannot import {target}: {type(error).__name__}: {text}{place}"


def _near(filename: str) -> str:
    """Return a path as seen from here, where it is below."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
