"""Results: how a finished run looks to the run that waited for it, and how errors are stored."""

import uuid
from typing import Final

import msgspec

from oncue.protocol import codec, ids
from oncue.protocol.failures import InternalError, RunError, StringError
from oncue.protocol.work import ChildFailed, ChildResult, ChildSucceeded

_decode_error: Final = msgspec.json.Decoder(RunError).decode
_encode: Final = msgspec.json.Encoder().encode


def stored_error(error: RunError) -> str:
    """Write an error as the database keeps it, JSON text."""
    return _encode(error).decode()


def read_error(text: str | None) -> RunError:
    """Read an error back; a run that ended badly without one says so."""
    return InternalError("UNKNOWN", "the run ended without saying why") if text is None else _decode_error(text)


def raw(text: str | None) -> msgspec.Raw:
    """Return a stored document as it goes onto the wire."""
    return codec.NOTHING if text is None else msgspec.Raw(text.encode())


def child_result(
    run_id: uuid.UUID,
    *,
    task: str | None,
    status: str | None,
    output: str | None,
    output_type: str | None,
    error: str | None,
) -> ChildResult:
    """Return how a child ended.

    Args:
        task: None where the run is gone: retention dropped it, or it never was.
        status: Its stored final status.
    """
    shown = ids.show(ids.RUN, run_id)
    if task is None or status is None:
        return ChildFailed(shown, task or "", StringError("the run is no longer stored"))
    if status == "COMPLETED_SUCCESSFULLY":
        return ChildSucceeded(shown, task, raw(output), output_type or codec.JSON)
    return ChildFailed(shown, task, read_error(error))
