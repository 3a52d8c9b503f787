"""Electric: runs as rows of the protocol that the realtime hooks speak; no I/O.

Of the Electric protocol only what its client needs: a snapshot, changes of whole rows, and the word that one is up to
date. Every value is text or null; what it stands for is said by the schema. An offset names a state: its second number
is the sum of the fingerprints of all rows that it shows, so that any server can tell whether a client has seen what
there is now.

Source: wire contract §6.2, §6.3.
"""

import datetime
import functools
import hashlib
import json
import re
from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

import msgspec

from oncue.engine.realtime import ShapeRow
from oncue.protocol import codec, columns, durations, ids, packets

Skip: TypeAlias = frozenset[str]
"""Columns that a subscriber does not want."""

COLUMNS: Final[dict[str, dict[str, str | int]]] = {
    "id": {"type": "text"},
    "friendlyId": {"type": "text"},
    "taskIdentifier": {"type": "text"},
    "status": {"type": "text"},
    "createdAt": {"type": "timestamp"},
    "updatedAt": {"type": "timestamp"},
    "startedAt": {"type": "timestamp"},
    "delayUntil": {"type": "timestamp"},
    "queuedAt": {"type": "timestamp"},
    "expiredAt": {"type": "timestamp"},
    "completedAt": {"type": "timestamp"},
    "number": {"type": "int4"},
    "usageDurationMs": {"type": "int4"},
    "costInCents": {"type": "float8"},
    "baseCostInCents": {"type": "float8"},
    "isTest": {"type": "bool"},
    "ttl": {"type": "text"},
    "payload": {"type": "text"},
    "payloadType": {"type": "text"},
    "metadata": {"type": "text"},
    "metadataType": {"type": "text"},
    "output": {"type": "text"},
    "outputType": {"type": "text"},
    "runTags": {"type": "text", "dims": 1},
    "realtimeStreams": {"type": "text", "dims": 1},
    "error": {"type": "jsonb"},
    "idempotencyKey": {"type": "text"},
    "leftOut": {"type": "text"},
}
"""Each column and its type, in the order in which they are sent.

``leftOut`` is ours: it names, with commas between, columns that are null here though the run has them.
"""

REQUIRED: Final[Skip] = frozenset(COLUMNS).difference(columns.OPTIONAL)
"""Clients fail without these."""

DOCUMENTS: Final[Skip] = frozenset({"payload", "output"})

UP_TO_DATE: Final = b'{"headers":{"control":"up-to-date"}}'
MUST_REFETCH: Final = b'[{"headers":{"control":"must-refetch"}}]'

_LARGEST_SUM: Final = 1 << 48
"""Sums are below; a number of JavaScript holds them exactly."""
_INT4: Final = 2_147_483_647
_OFFSET: Final = re.compile(r"[0-9]{1,16}_([0-9]{1,15})", re.ASCII)
_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})
_encode: Final = msgspec.json.Encoder().encode


_WAYS: Final = 8
"""Of showing a row that are remembered while it is offered; clients who mean no harm skip few different columns."""


class Shown:
    """A row as it is shown to subscribers who skip the same columns.

    Attributes:
        fingerprint: Of all that is shown, whether its documents were left out or not.
        has_ended: Nothing but its metadata, tags and streams changes any more.
    """

    __slots__ = ("_key", "_value", "fingerprint", "has_ended")

    def __init__(self, key: bytes, value: bytes, printed: bytes, *, has_ended: bool) -> None:
        self._key, self._value, self.has_ended = key, value, has_ended
        self.fingerprint = int.from_bytes(hashlib.blake2b(printed, digest_size=6).digest())

    def __len__(self) -> int:
        """Return how many bytes it takes."""
        return len(self._value)

    def message(self, operation: str) -> bytes:
        """Return the message that inserts or updates it."""
        headers = b'{"operation":"%b"}' % operation.encode()
        return b'{"key":%b,"value":%b,"headers":%b}' % (self._key, self._value, headers)


class Row:
    """A run that was read, encoded once for all who see it alike.

    Attributes:
        encoded_bytes: What that came to so far.
    """

    __slots__ = ("_printed", "_shown", "_values", "encoded_bytes", "run")

    def __init__(self, run: ShapeRow) -> None:
        self.run = run
        self.encoded_bytes = 0
        self._values: dict[str, str | None] | None = None
        self._printed: dict[str, str | None] = {}
        self._shown: dict[Skip, Shown] = {}

    def shown(self, skip: Skip) -> Shown:
        """Return it without some columns."""
        found = self._shown.get(skip)
        if found is None:
            if self._values is None:
                self._values = _values(self.run)
                self._printed = self._values | _stand_ins(self.run)
            whole = self._values | {"leftOut": ",".join(sorted(_left_out(self.run) - skip)) or None}
            value, printed = (
                _encode({name: text for name, text in values.items() if name not in skip})
                for values in (whole, self._printed)
            )
            key = _encode(f'"public"."TaskRun"/"{self._values["id"]}"')
            found = Shown(key, value, printed, has_ended=self.run.finished_at is not None)
            if len(self._shown) == _WAYS:
                self._shown.clear()
            self._shown[skip] = found
            self.encoded_bytes += len(found)
        return found


def skipped(names: Iterable[str]) -> Skip:
    """Return which of these columns can be left out."""
    return frozenset(name for name in names if name in COLUMNS) - REQUIRED


def wants_documents(skip: Skip) -> bool:
    """Whether payload or output is shown."""
    return not skip >= DOCUMENTS


@functools.lru_cache(maxsize=256)
def schema(skip: Skip) -> bytes:
    """Return what the header ``electric-schema`` says."""
    return json.dumps({name: type_ for name, type_ in COLUMNS.items() if name not in skip}).encode()


def body(shown: Collection[Shown], operation: str) -> bytes:
    """Return the messages that bring a client up to date."""
    return b"[" + b",".join([*(each.message(operation) for each in shown), UP_TO_DATE]) + b"]"


def total(fingerprints: Iterable[int]) -> int:
    """Return the number that stands for a state."""
    return sum(fingerprints) % _LARGEST_SUM


def offset(state: int, moment: datetime.datetime) -> str:
    """Return the token that a client sends back to say what it has seen."""
    return f"{int(moment.timestamp() * 1000)}_{state}"


def read_offset(text: str) -> int | None:
    """Return the state that an offset stands for; None where it is no offset of ours."""
    match = _OFFSET.fullmatch(text)
    return None if match is None else int(match[1])


def _values(run: ShapeRow) -> dict[str, str | None]:
    has_expired = run.status == "EXPIRED"
    queued_at = None if run.status == "DELAYED" else max(run.created_at, run.delay_until or run.created_at)
    return {
        "id": str(run.id),
        "friendlyId": ids.show(ids.RUN, run.id),
        "taskIdentifier": run.task,
        "status": run.status,
        "createdAt": _moment(run.created_at),
        "updatedAt": _moment(run.updated_at),
        "startedAt": _moment(run.started_at),
        "delayUntil": _moment(run.delay_until),
        "queuedAt": _moment(queued_at),
        "expiredAt": _moment(run.finished_at) if has_expired else None,
        "completedAt": _moment(run.finished_at),
        "number": "0",
        "usageDurationMs": str(min(run.compute_ms, _INT4)),
        "costInCents": "0",
        "baseCostInCents": "0",
        "isTest": "t" if run.is_test else "f",
        "ttl": None if run.ttl is None else durations.show(run.ttl),
        "payload": _document(run.payload, run.payload_type),
        "payloadType": run.payload_type,
        "metadata": run.metadata,
        "metadataType": codec.JSON,
        "output": _document(run.output, run.output_type),
        "outputType": run.output_type or codec.JSON,
        "runTags": _texts(run.tags),
        "realtimeStreams": _texts(run.streams),
        "error": run.error,
        "idempotencyKey": run.idempotency_key,
    }


def _left_out(run: ShapeRow) -> Skip:
    """Return the columns that were not read though there is something in them."""
    sizes = {
        "payload": 0 if run.payload is not None else run.payload_bytes or 0,
        "output": 0 if run.output is not None else run.output_bytes or 0,
        "metadata": 0 if run.metadata_digest is None else 1,
    }
    return frozenset(name for name, size in sizes.items() if size)


def _stand_ins(run: ShapeRow) -> dict[str, str | None]:
    """Return what stands for documents in a fingerprint, the same whether they were read or left out.

    Their size for payload and output, of which a run seldom has more than one; a digest for metadata, which changes.
    """
    digest = run.metadata_digest
    if run.metadata is not None:
        digest = hashlib.md5(run.metadata.encode(), usedforsecurity=False).hexdigest()
    stand_ins: dict[str, str | None] = {"metadata": digest}
    if run.payload_type != codec.STORE:
        stand_ins["payload"] = str(run.payload_bytes)
    if run.output_type != codec.STORE:
        stand_ins["output"] = str(run.output_bytes)
    return stand_ins


def _moment(moment: datetime.datetime | None) -> str | None:
    """Write a moment as clients expect it, without the Z that they add."""
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _document(document: str | None, type_: str | None) -> str | None:
    """Return a document, and of one in the object store its path."""
    return document if document is None or type_ != codec.STORE else packets.path_of(document)


def _texts(texts: Collection[str]) -> str:
    return "{" + ",".join(f'"{text.translate(_ESCAPED)}"' for text in texts) + "}"
