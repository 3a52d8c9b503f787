"""Metadata queue: operations that wait to be sent, as few as come to the same.

Operations on different keys of a document do not touch each other, so they are kept by key, each key's in order. What
cannot make a difference any more is dropped, and increments of one number become one: a task may report its progress
a hundred thousand times a second, and one operation is sent.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from oncue.protocol import metadata_operations
from oncue.protocol.metadata import DeleteKey, IncrementNumber, Operation, ReplaceDocument, SetKey

_OVERHEAD_BYTES: Final = 64
"""Names, quotes and braces of an operation, roughly."""

_WHOLE: Final = None
"""Stands for the document where others have a key."""


class OperationQueue:
    """Operations on one document, in an order that gives what their own order gives."""

    def __init__(self) -> None:
        self._by_key: dict[str | int | None, list[Operation]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def __iter__(self) -> Iterator[Operation]:
        for operations in self._by_key.values():
            yield from operations

    def add(self, operation: Operation) -> None:
        """Put an operation last."""
        match operation:
            case ReplaceDocument():
                self._by_key = {_WHOLE: [operation]}
                return
            case SetKey(key=key) | DeleteKey(key=key) if not key.startswith("$."):
                # Nothing that was done to this key before is seen any more.
                self._by_key[key] = [operation]
                return
        before = self._by_key.setdefault(metadata_operations.parse_key(operation.key)[0], [])
        together = _merged(before[-1], operation) if before else None
        if together is None:
            before.append(operation)
        else:
            before[-1] = together

    def take(self, most_bytes: int) -> list[Operation]:
        """Remove operations from the front, and return them.

        Args:
            most_bytes: Where to stop; the first is taken however large it is.
        """
        taken, left, size_bytes = list[Operation](), OperationQueue(), 0
        for operation in self:
            size_bytes += size_of(operation)
            if left or (taken and size_bytes > most_bytes):
                left.add(operation)
            else:
                taken.append(operation)
        self._by_key = left._by_key
        return taken


def size_of(operation: Operation) -> int:
    """Return about how many bytes an operation takes; at least what it adds to a document."""
    match operation:
        case ReplaceDocument(value=value):
            return len(value) + _OVERHEAD_BYTES
        case DeleteKey(key=key):
            return _size_of_key(key)
        case IncrementNumber(key=key, value=amount):
            return _size_of_key(key) + len(msgspec.json.encode(amount))
        case SetKey(key=key, value=value):
            return _size_of_key(key) + len(value)
        case _:
            return _size_of_key(operation.key) + len(operation.value)


def _size_of_key(key: str) -> int:
    # A step of a path may be of one letter, and takes two quotes, a colon and two braces in the document.
    return 4 * len(msgspec.json.encode(key)) + _OVERHEAD_BYTES


def _merged(one: Operation, other: Operation) -> Operation | None:
    """Return one operation for two in a row; None where there is none."""
    match one, other:
        case SetKey(key=first), SetKey(key=second) if first == second:
            return other
        case IncrementNumber(key=first, value=amount), IncrementNumber(key=second, value=more) if first == second:
            try:
                return IncrementNumber(first, metadata_operations.add(amount, more))
            except ValueError:
                return None
        case _:
            return None
