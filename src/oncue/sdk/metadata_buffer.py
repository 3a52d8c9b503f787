"""Metadata buffer: what one execution knows of its run's metadata, and what it has yet to tell.

A change is seen here at once and told to the server later, in groups; when that is, is the worker's business. Each
answer of the server brings what others have changed meanwhile. May be used from every thread of a task.

Life of a run, this module's part::

    sdk/metadata -> add -> Group -> worker/metadata_flushing -> settled
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from oncue.protocol import limits, metadata_operations
from oncue.protocol.errors import PayloadTooLarge
from oncue.protocol.metadata import (
    AppendValue,
    MetadataUpdate,
    Operation,
    RemoveValue,
    ReplaceDocument,
    SetKey,
)
from oncue.protocol.metadata_operations import Document
from oncue.sdk.metadata_queue import OperationQueue, size_of

Target: TypeAlias = Literal["own", "parent", "root"]
"""Whose metadata is changed."""

_GROUP_BYTES: Final = 200 * 1024
"""Operations for one target in one request: with one that is as large as metadata may be, three stay below 1 MiB."""

_decode: Final = msgspec.json.Decoder(Document).decode
_encode: Final = msgspec.json.Encoder().encode


class Group:
    """Operations that are sent together, the same each time until they are answered."""

    __slots__ = ("entries",)

    def __init__(self, entries: list[tuple[Target, Operation]]) -> None:
        self.entries = entries

    def update(self, epoch: int) -> MetadataUpdate:
        """Return the group as the server reads it."""
        return MetadataUpdate(
            operations=self._for("own"),
            parent_operations=self._for("parent"),
            root_operations=self._for("root"),
            epoch=epoch,
        )

    def halves(self) -> "list[Group]":
        """Return two groups that are the same in all."""
        middle = len(self.entries) // 2
        return [Group(self.entries[:middle]), Group(self.entries[middle:])]

    def _for(self, wanted: Target) -> list[Operation]:
        return [operation for target, operation in self.entries if target == wanted]


class MetadataBuffer:
    """The metadata of one run, as one execution of it sees and changes it."""

    def __init__(
        self, given: Mapping[str, Any] | None, *, has_parent: bool, has_root: bool, wake: Callable[[], None]
    ) -> None:
        """Begin with what came with the run.

        Args:
            given: Its metadata.
            has_parent: Whether a run triggered it; else what is for the parent is for the run itself.
            has_root: The same for the first run of the family.
            wake: Called on the thread that makes a change, where there was none to tell.
        """
        self._lock = threading.Lock()
        self._read(_encode(given or {}))
        self._addressed: dict[Target, Target] = {
            "own": "own",
            "parent": "parent" if has_parent else "own",
            "root": "root" if has_root else "own",
        }
        self._queues: dict[Target, OperationQueue] = {target: OperationQueue() for target in self._addressed}
        self._sending: deque[Group] = deque()
        self._wake = wake

    @property
    def is_empty(self) -> bool:
        """Whether the server knows everything."""
        return not self._sending and not any(self._queues.values())

    def current(self) -> Document:
        """Return the metadata; what the caller does to it changes nothing here."""
        with self._lock:
            text = _encode(self._document)
        return _decode(text)

    def get(self, key: str, default: object) -> Any:  # noqa: ANN401 - any JSON value
        """Return what a key or path names, a copy; the default where there is nothing."""
        try:
            with self._lock:
                text = _encode(metadata_operations.find(self._document, key))
        except KeyError:
            return default
        return msgspec.json.decode(text)

    def add(self, target: Target, operation: Operation) -> None:
        """Make a change.

        Raises:
            ValueError: It makes no sense, or does not fit the document.
            PayloadTooLarge: The document would exceed its limit.
        """
        metadata_operations.check(operation)
        target = self._addressed[target]
        with self._lock:
            if target == "own":
                self._apply(operation)
            else:
                _check_value(operation)
            was_told = not any(self._queues.values())
            self._queues[target].add(operation)
        if was_told:
            self._wake()

    def next_group(self) -> Group | None:
        """Return what is to be sent now: the same group until it is settled or refused; None where there is nothing."""
        with self._lock:
            if not self._sending:
                entries = [
                    (target, operation)
                    for target, queue in self._queues.items()
                    for operation in queue.take(_GROUP_BYTES)
                ]
                if not entries:
                    return None
                self._sending.append(Group(entries))
            return self._sending[0]

    def ask(self) -> None:
        """Have something sent, if only to learn what the server knows."""
        with self._lock:
            if self.is_empty:
                self._sending.append(Group([]))

    def settled(self, stored: bytes | msgspec.Raw) -> None:
        """Note that the group was carried out, and what the server's metadata is since then."""
        with self._lock:
            self._sending.popleft()
            self._read(stored)
            for group in self._sending:
                for target, operation in group.entries:
                    if target == "own":
                        self._apply_again(operation)
            for operation in self._queues["own"]:
                self._apply_again(operation)

    def refused(self) -> list[tuple[Target, Operation]]:
        """Note that the server will not have the group; return what is thereby given up.

        A group of several is sent again in halves: one operation that is refused must not take others with it.
        """
        with self._lock:
            group = self._sending.popleft()
            if len(group.entries) < 2:  # noqa: PLR2004 - one cannot be divided
                return group.entries
            self._sending.extendleft(reversed(group.halves()))
            return []

    def drop(self) -> list[tuple[Target, Operation]]:
        """Give up everything that the server does not know; return it."""
        with self._lock:
            left = [entry for group in self._sending for entry in group.entries]
            left += [(target, operation) for target, queue in self._queues.items() for operation in queue]
            self._sending.clear()
            self._queues = {target: OperationQueue() for target in self._addressed}
            return left

    def _read(self, document: bytes | msgspec.Raw) -> None:
        self._document: Document = _decode(document)
        self._size_bytes = len(document)

    def _apply(self, operation: Operation) -> None:
        """Change the document, and know that it stays within its limit without writing it each time."""
        size_bytes = self._size_bytes + size_of(operation)
        if size_bytes <= limits.MAX_METADATA_BYTES:
            metadata_operations.apply(self._document, operation)
            self._size_bytes = size_bytes
            return
        before = _encode(self._document)
        metadata_operations.apply(self._document, operation)
        try:
            self._size_bytes = len(_encode(self._document))
            _check_size(self._size_bytes, "metadata")
        except Exception:
            self._read(before)
            raise

    def _apply_again(self, operation: Operation) -> None:
        try:
            metadata_operations.apply(self._document, operation)
        except ValueError:
            return  # others have changed what it was for; the server will refuse it, and say so
        self._size_bytes += size_of(operation)


def _check_value(operation: Operation) -> None:
    match operation:
        case SetKey(value=value) | AppendValue(value=value) | RemoveValue(value=value) | ReplaceDocument(value=value):
            _check_size(len(value), "the value")
        case _:
            pass


def _check_size(size: int, what: str) -> None:
    if size > limits.MAX_METADATA_BYTES:
        raise PayloadTooLarge(f"{what} is {size:,} bytes; the limit is {limits.MAX_METADATA_BYTES:,}")
