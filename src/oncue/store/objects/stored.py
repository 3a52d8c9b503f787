"""Stored: an object as it is read back, and the faults of a store as errors of ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from obstore.exceptions import BaseError

from oncue import telemetry
from oncue.store.errors import ObjectsUnavailable

_REASON_CHARS: Final = 300

OCTETS: Final = "application/octet-stream"
"""Content type of what was stored without one."""


class StoredObject(NamedTuple):
    """An object that is being read."""

    size: int
    """Bytes."""
    content_type: str
    """As it was given when the object was stored."""
    chunks: AsyncIterator[bytes]


@contextmanager
def told(what: str, key: str) -> Iterator[None]:
    """Turn a store's fault into an error, and log why: that is for operators, and callers are none.

    Raises:
        ObjectsUnavailable: The store does not answer, or refuses.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unavailable(what, key, error, error.strerror or type(error).__name__) from error
    except BaseError as error:
        # Its first line says what was asked and what came of it; what follows may quote headers.
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition("?")[0][:_REASON_CHARS]
        raise _unavailable(what, key, error, reason) from error


def _unavailable(what: str, key: str, error: Exception, reason: str) -> ObjectsUnavailable:
    telemetry.event("objects.failed", what=what, key=key, error=type(error).__name__, message=reason)
    return ObjectsUnavailable(
        f"the object store could not {what} {key} ({type(error).__name__}); the server's log says why. Send the "
        "request again when that is mended"
    )
