"""Stored: an object as it is read back, and the faults of a store as errors of ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from obstore.exceptions import BaseError

from oncue.store.errors import ObjectsUnavailable

OCTETS = "application/octet-stream"
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
    """Turn a store's fault into an error that says what to look at; nothing of its text, which may quote headers.

    Raises:
        ObjectsUnavailable: The store does not answer, or refuses.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise ObjectsUnavailable(
            f"the object store could not {what} {key} ({type(error).__name__}); see that it answers and that its "
            "credentials allow it, then send the request again"
        ) from error
