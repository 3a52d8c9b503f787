"""Failures: how the error of a run is written down.

The four shapes and their names are the wire contract's (§4.2); clients project them to message, name and traceback.
"""

from typing import TypeAlias

import msgspec

from oncue.protocol import limits


class BuiltInError(msgspec.Struct, frozen=True, tag="BUILT_IN_ERROR", tag_field="type", rename="camel"):
    """An exception that the task raised."""

    name: str
    message: str
    stack_trace: str = ""


class StringError(msgspec.Struct, frozen=True, tag="STRING_ERROR", tag_field="type", rename="camel"):
    """A plain sentence, for instance why a run expired."""

    raw: str


class CustomError(msgspec.Struct, frozen=True, tag="CUSTOM_ERROR", tag_field="type", rename="camel"):
    """Something thrown that was not an error; JSON text."""

    raw: str


class InternalError(msgspec.Struct, frozen=True, tag="INTERNAL_ERROR", tag_field="type", rename="camel"):
    """The platform ended the run; ``code`` is stable, the message says why."""

    code: str
    message: str = ""
    stack_trace: str = ""


RunError: TypeAlias = BuiltInError | StringError | CustomError | InternalError


class ShownError(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A run's error as ``runs.retrieve`` shows it."""

    message: str
    name: str | None = None
    stack_trace: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.name else self.message


def shown(error: RunError) -> ShownError:
    """Project a stored error to what a client reads."""
    match error:
        case BuiltInError(name=name, message=message, stack_trace=stack_trace):
            return ShownError(message, name=name, stack_trace=stack_trace or None)
        case StringError(raw=raw) | CustomError(raw=raw):
            return ShownError(raw)
        case InternalError(code=code, message=message, stack_trace=stack_trace):
            return ShownError(message or f"internal error ({code})", name=code, stack_trace=stack_trace or None)


def clipped(text: str) -> str:
    """Cut a message or traceback to what is stored, keeping its end, where the cause stands."""
    # NUL cannot be stored by PostgreSQL, and a lone surrogate cannot be encoded.
    clean = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    excess = len(clean) - limits.MAX_ERROR_MESSAGE_CHARS
    return clean if excess <= 0 else f"… {excess:,} characters cut …\n{clean[excess:]}"
