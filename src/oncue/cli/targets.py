"""Targets: which code ``oncue dev`` runs where nobody said it."""

from pathlib import Path
from typing import Final

from oncue.cli.failures import CommandFailed

_EXAMPLES: Final = "a module (my_app.tasks), a file (tasks.py) or a folder"
_PATTERNS: Final = ("tasks.py", "tasks/__init__.py", "*/tasks.py", "*/tasks/__init__.py", "src/*/tasks.py")


def find(folder: Path) -> str:
    """Return the tasks of a project: ``tasks.py`` or a package ``tasks``, here or one package below.

    Raises:
        CommandFailed: There are none, or several; says what to pass.
    """
    for pattern in _PATTERNS:
        found = sorted(path for path in folder.glob(pattern) if not _is_hidden(path.relative_to(folder)))
        if len(found) == 1:
            path = found[0].relative_to(folder)
            return str(path.parent if path.name == "__init__.py" else path)
        if found:
            names = ", ".join(str(path.relative_to(folder)) for path in found)
            raise CommandFailed(f"found {names}; say which, for instance `oncue dev {found[0].relative_to(folder)}`")
    declaring = sorted(path.name for path in folder.glob("*.py") if _declares(path))
    if len(declaring) == 1:
        return declaring[0]
    if declaring:
        raise CommandFailed(f"found {', '.join(declaring)}; say which, for instance `oncue dev {declaring[0]}`")
    raise CommandFailed(f"found no tasks.py here; pass {_EXAMPLES}, for instance `oncue dev my_app/tasks.py`")


def check(target: str) -> None:
    """Raise unless a target that looks like a path exists.

    Raises:
        CommandFailed: It does not.
    """
    path = Path(target)
    if (path.suffix == ".py" or "/" in target) and not path.exists():
        raise CommandFailed(f"{target} does not exist; pass {_EXAMPLES}")


def _declares(path: Path) -> bool:
    """Whether a file defines tasks, going by its text: importing it would run it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "oncue" in text and ("@task" in text or "@oncue.task" in text)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
