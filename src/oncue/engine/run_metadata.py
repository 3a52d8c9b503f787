"""Run metadata: change a run's metadata while it runs, and that of its parent and root.

Changes that come at once are made one after another, under the lock of the row, so that none is lost: fifty children
that count up a number of their parent's count up to fifty. All changes of a request are made, or none. A request sent
again, told by its key, changes nothing more.

What an operation does to a document is ``protocol/metadata_operations``.

Source: wire contract §5.

Life of a run, this module's part::

    api/routes/run_documents -> run_metadata.plan, change -> MetadataView
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import codec, ids, limits, metadata_operations
from oncue.protocol.errors import BadRequest, LeaseLost, NotFound, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.metadata import MetadataUpdate, MetadataView, Operation
from oncue.protocol.metadata_operations import Document
from oncue.store import queries
from oncue.store.pool import Tx

OPEN_AFTER_END: Final = datetime.timedelta(hours=1)
"""How long the metadata of a run that has ended may still be changed."""

Field: TypeAlias = Literal["operations", "parentOperations", "rootOperations"]


class Stored(msgspec.Struct, frozen=True):
    """A run's metadata, JSON text."""

    metadata: str | None


class Family(msgspec.Struct, frozen=True):
    """The runs above a run."""

    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None


class Locked(msgspec.Struct, frozen=True):
    """A run whose row is locked."""

    id: uuid.UUID
    metadata: str | None
    epoch: int | None
    """None for a run that ended before it ever executed."""
    is_closed: bool
    """It ended too long ago to be changed."""


class Change(NamedTuple):
    """A request that makes sense."""

    replacement: bytes | None
    """Read anew for each attempt of the transaction, for operations change what was read."""
    steps: Sequence[tuple[Field, Sequence[Operation]]]
    """Operations by whom they are for; none of them is empty."""
    epoch: int | None

    @property
    def is_empty(self) -> bool:
        """Whether it only asks for what there is."""
        return self.replacement is None and not self.steps


_sql = queries.load("run_metadata")
_read_metadata = _sql.maybe("read_metadata", Stored)
_family = _sql.maybe("family", Family)
_lock_documents = _sql.many("lock_documents", Locked)
_take_key = _sql.none("take_key")
_store_documents = _sql.none("store_documents")
_decode: Final = msgspec.json.Decoder(Document).decode
_encode: Final = msgspec.json.Encoder().encode


def plan(update: MetadataUpdate) -> Change:
    """Read a request, before any transaction.

    Raises:
        BadRequest: An operation makes no sense; names its list and its index.
        PayloadTooLarge: The replacement exceeds the limit.
    """
    lists: list[tuple[Field, Sequence[Operation]]] = [
        ("operations", update.operations),
        ("parentOperations", update.parent_operations),
        ("rootOperations", update.root_operations),
    ]
    for field, operations in lists:
        for index, operation in enumerate(operations):
            try:
                metadata_operations.check(operation)
            except ValueError as error:
                raise BadRequest(f"{field}[{index}].{error}") from None
    steps = [(field, operations) for field, operations in lists if operations]
    return Change(_replacement(update.metadata), steps, update.epoch)


async def read(tx: Tx, environment: Environment, run: uuid.UUID) -> MetadataView:
    """Return a run's metadata; an empty object where it has none.

    Raises:
        NotFound: There is no such run in the caller's environment.
    """
    stored = await _read_metadata(tx, env_id=environment.id, run_id=run)
    if stored is None:
        raise _unknown(run)
    return _view(stored.metadata)


async def change(
    tx: Tx,
    environment: Environment,
    run: uuid.UUID,
    wanted: Change,
    *,
    request_key: str | None = None,
    effects: Effects,
) -> MetadataView:
    """Carry out a request.

    Args:
        run: The run that is changed, and whose parent and root are.
        wanted: From ``plan``.
        request_key: The caller's ``x-trigger-request-idempotency-key``.
        effects: Gets what others must hear of.

    Returns:
        The run's own metadata afterwards.

    Raises:
        NotFound: There is no such run in the caller's environment.
        LeaseLost: The execution that speaks no longer counts.
        UnprocessableRequest: A run ended too long ago, or an operation does not fit its document; nothing is changed.
        PayloadTooLarge: A document would exceed the limit; nothing is changed.
    """
    addressed = await _addressed(tx, environment, run, wanted)
    locked = await _lock(tx, environment, {run, *addressed.values()})
    own = locked.get(run)
    if own is None:
        raise _unknown(run)
    if wanted.epoch is not None and own.epoch != wanted.epoch:
        raise LeaseLost(f"run {_shown(run)} is no longer executed under epoch {wanted.epoch}; stop it")
    if wanted.is_empty or await _was_made(tx, environment, run, request_key):
        return _view(own.metadata)
    documents = _changed(run, locked, addressed, wanted)
    await _store_documents(
        tx,
        env_id=environment.id,
        run_ids=list(documents),
        documents=list(documents.values()),
        first_id=min(documents),
        last_id=max(documents),
    )
    effects.change(environment, documents)
    return _view(documents.get(run, own.metadata))


async def _addressed(tx: Tx, environment: Environment, run: uuid.UUID, wanted: Change) -> dict[Field, uuid.UUID]:
    """Return whom each list of operations is for."""
    family: Family | None = None
    if any(field != "operations" for field, _ in wanted.steps):
        family = await _family(tx, env_id=environment.id, run_id=run)
    if family is None:
        return {"operations": run}
    return {
        "operations": run,
        "parentOperations": family.parent_id or run,
        "rootOperations": family.root_id or run,
    }


async def _lock(tx: Tx, environment: Environment, runs: set[uuid.UUID]) -> dict[uuid.UUID, Locked]:
    rows = await _lock_documents(
        tx, env_id=environment.id, run_ids=list(runs), first_id=min(runs), last_id=max(runs), window=OPEN_AFTER_END
    )
    return {row.id: row for row in rows}


async def _was_made(tx: Tx, environment: Environment, run: uuid.UUID, request_key: str | None) -> bool:
    """Return whether a request has been carried out before; from now on it has."""
    if request_key is None:
        return False
    return not await _take_key(tx, env_id=environment.id, key=f"metadata:{request_key}", run_id=run)


def _changed(
    run: uuid.UUID, locked: dict[uuid.UUID, Locked], addressed: dict[Field, uuid.UUID], wanted: Change
) -> dict[uuid.UUID, str]:
    """Return the documents that differ afterwards, as JSON text."""
    documents: dict[uuid.UUID, Document] = {}
    if wanted.replacement is not None:
        _check_open(locked[run], "metadata")
        documents[run] = _decode(wanted.replacement)
    for field, operations in wanted.steps:
        target = locked.get(addressed[field])
        # A parent whose row is gone is like none.
        row = locked[run] if target is None else target
        _check_open(row, field)
        if row.id not in documents:
            documents[row.id] = _decode(row.metadata or "{}")
        for index, operation in enumerate(operations):
            try:
                metadata_operations.apply(documents[row.id], operation)
            except ValueError as error:
                raise UnprocessableRequest(f"{field}[{index}].{error}") from None
    return {id_: _written(id_, document) for id_, document in documents.items()}


def _replacement(document: msgspec.Raw) -> bytes | None:
    if not document:
        return None
    codec.checked(document, "metadata")
    found = bytes(document)
    if not found.lstrip().startswith(b"{"):
        raise BadRequest(f"metadata: found {found[:30].decode()!r}; expected a JSON object")
    _check_size(len(found), "metadata")
    return found


def _written(run: uuid.UUID, document: Document) -> str:
    try:
        text = _encode(document)
    except RecursionError:
        raise UnprocessableRequest(
            f"metadata of run {_shown(run)} would be nested too deeply; expected fewer than about 1,000 levels"
        ) from None
    _check_size(len(text), f"metadata of run {_shown(run)}")
    return text.decode()


def _check_size(size: int, what: str) -> None:
    if size > limits.MAX_METADATA_BYTES:
        raise PayloadTooLarge(f"{what} is {size:,} bytes; the limit is {limits.MAX_METADATA_BYTES:,}")


def _check_open(row: Locked, field: str) -> None:
    if row.is_closed:
        hours = OPEN_AFTER_END // datetime.timedelta(hours=1)
        raise UnprocessableRequest(
            f"{field}: run {_shown(row.id)} ended more than {hours} hour ago, so its metadata is not changed any more"
        )


def _view(text: str | None) -> MetadataView:
    return MetadataView(msgspec.Raw((text or "{}").encode()))


def _shown(run: uuid.UUID) -> str:
    return ids.show(ids.RUN, run)


def _unknown(run: uuid.UUID) -> NotFound:
    return NotFound(f"no run {_shown(run)} in this environment")
