"""Run rows: what the answers to a subscription tell of runs; no I/O.

Every value of a row is text or null. A row has no document that is kept in the object store, but its path.

Source: wire contract §6.2, §6.3.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from oncue.protocol import codec, status
from oncue.protocol.failures import RunError, shown
from oncue.protocol.status import ApiStatus
from oncue.sdk.run import FollowedRun

UNUSED: Final = "idempotencyKey,number,queuedAt,realtimeStreams"
"""Columns of which nothing is shown: a change in them alone need not be told."""


class RunRow(msgspec.Struct, frozen=True, rename="camel"):
    """A run as an answer tells it; columns that a token hides are not there."""

    friendly_id: str
    task_identifier: str
    status: str
    """In the stored vocabulary."""
    created_at: datetime.datetime
    """As all moments without a zone, which is UTC."""
    updated_at: datetime.datetime
    started_at: datetime.datetime | None = None
    delay_until: datetime.datetime | None = None
    expired_at: datetime.datetime | None = None
    completed_at: datetime.datetime | None = None
    usage_duration_ms: str | None = None
    cost_in_cents: str | None = None
    base_cost_in_cents: str | None = None
    is_test: str | None = None
    ttl: str | None = None
    payload: str | None = None
    payload_type: str | None = None
    metadata: str | None = None
    output: str | None = None
    output_type: str | None = None
    run_tags: str | None = None
    error: str | None = None
    left_out: str | None = None
    """Columns that are null though the run has them: an answer would have been too large."""


class _Message(msgspec.Struct):
    value: RunRow | None = None


_decode: Final = msgspec.json.Decoder(list[_Message]).decode
_decode_error: Final[msgspec.json.Decoder[RunError]] = msgspec.json.Decoder(RunError)
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SHOWN: Final[dict[str, ApiStatus]] = {stored: seen for stored, seen in status.SHOWN.items()}  # noqa: C416


def read(body: bytes) -> Sequence[RunRow]:
    """Return the rows in an answer, each run once, as it was told last.

    Raises:
        MsgspecError: It is no answer to a subscription.
    """
    rows = (message.value for message in _decode(body))
    return list({row.friendly_id: row for row in rows if row is not None}.values())


def stored(row: RunRow) -> Mapping[str, str]:
    """Return the paths of what is kept in the object store: of ``payload``, ``output``, both or none."""
    documents = (("payload", row.payload, row.payload_type), ("output", row.output, row.output_type))
    return {name: text for name, text, type_ in documents if text is not None and type_ == codec.STORE}


def value(document: bytes | msgspec.Raw, type_: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a document as ``runs.retrieve`` shows it; None where it is not what its type says."""
    try:
        return msgspec.json.decode(codec.plain(document, type_))
    except msgspec.MsgspecError:
        # Whoever triggered that run wrote nonsense: those who follow others beside it go on.
        return None


def run(row: RunRow) -> FollowedRun:
    """Return the run that a row stands for, without what is kept in the object store."""
    # Source: wire contract §6.3, also for the status of a server that is newer.
    seen = _SHOWN.get(row.status, "QUEUED")
    return FollowedRun(
        id=row.friendly_id,
        status=seen,
        task_identifier=row.task_identifier,
        **status.booleans(seen),
        is_test=row.is_test in ("t", "true"),
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
        started_at=_moment(row.started_at),
        finished_at=_moment(row.completed_at),
        delayed_until=_moment(row.delay_until),
        expired_at=_moment(row.expired_at),
        ttl=row.ttl,
        tags=_texts(row.run_tags or ""),
        cost_in_cents=float(row.cost_in_cents or 0),
        base_cost_in_cents=float(row.base_cost_in_cents or 0),
        duration_ms=int(row.usage_duration_ms or 0),
        metadata=None if row.metadata is None else msgspec.json.decode(row.metadata),
        payload=_document(row.payload, row.payload_type),
        output=_document(row.output, row.output_type),
        error=None if row.error is None else shown(_decode_error.decode(row.error)),
    )


def _document(text: str | None, type_: str | None) -> Any:  # noqa: ANN401 - any JSON value
    return None if text is None or type_ == codec.STORE else value(text.encode(), type_ or codec.JSON)


def _moment(moment: datetime.datetime | None) -> datetime.datetime | None:
    return None if moment is None else _utc(moment)


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment


def _texts(array: str) -> list[str]:
    """Read an array as PostgreSQL writes it, each text in quotes."""
    return [_ESCAPED.sub(r"\1", text) for text in _TEXT.findall(array)]
