"""Run streams: values that a run sends, one after the other, to whoever follows it, and those that it is sent.

A stream is named by its run and a key; what a run is sent under a key, an input stream, is another one. Chunks are
numbered from 0 in the order in which they were committed; each says who wrote it and which of the writer's chunks it
is, so one that is sent again is stored once.

Source: wire contract §6.4.

Life of a run, this module's part::

    api/routes/streams -> run_streams.register, append -> api/tails -> run_streams.read
    api/routes/inputs -> run_streams.send -> api/tails -> run_streams.read
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from oncue.engine.events import Effects
from oncue.engine.rows import Environment, RunId
from oncue.protocol import ids, limits, names
from oncue.protocol.errors import BadRequest, NotFound
from oncue.store import queries
from oncue.store.pool import Tx

Target: TypeAlias = Literal["self", "parent", "root"]
"""Whose stream it is, seen from the run that writes."""

PAGE: Final = 500
"""Chunks that are read at once."""
PAGE_BYTES: Final = 1024 * 1024
"""No more are read once they have so many characters."""


class Family(msgspec.Struct, frozen=True):
    """A run, and whose streams it may write to."""

    id: uuid.UUID
    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None


class RunState(msgspec.Struct, frozen=True):
    """Whether a run has ended."""

    has_ended: bool


class Chunks(msgspec.Struct, frozen=True):
    """How many chunks a stream has."""

    chunks: int


class Known(msgspec.Struct, frozen=True):
    """How many chunks are there already."""

    known: int


class Number(msgspec.Struct, frozen=True):
    """The number of a chunk that is new."""

    number: int


class LastPart(msgspec.Struct, frozen=True):
    """The last chunk of a writer, by the writer's count."""

    part: int


class Tail(msgspec.Struct, frozen=True):
    """Where a stream ends for now."""

    has_ended: bool
    """Its run has: there will be no more."""
    chunks: int


class Name(NamedTuple):
    """Which stream of a run."""

    key: str
    is_input: bool = False
    """It is made of what the run is sent."""


class Chunk(msgspec.Struct, frozen=True):
    """A chunk as it is stored."""

    number: int
    created_at: datetime.datetime
    data: str


_sql = queries.load("run_streams")
_find_targets = _sql.maybe("find_targets", Family)
_hold_run = _sql.maybe("hold_run", RunState)
_register = _sql.maybe("register", RunId)
_lock = _sql.one("lock", Chunks)
_append = _sql.many("append", Number)
_count_known = _sql.one("count_known", Known)
_count = _sql.none("count")
_hold_run_alone = _sql.maybe("hold_run_alone", RunState)
_count_sent = _sql.one("count_sent", Known)
_send = _sql.maybe("send", Number)
_last_part = _sql.one("last_part", LastPart)
_read_tail = _sql.maybe("read_tail", Tail)
_read_chunks = _sql.many("read_chunks", Chunk)
_read_input_tail = _sql.maybe("read_input_tail", Tail)
_read_inputs = _sql.many("read_inputs", Chunk)


def check_key(key: str) -> None:
    """Refuse a key that no stream can have.

    Raises:
        BadRequest: It is too long, or cannot be stored; or clients would read another address, as of ``..``.
    """
    if key in {".", ".."}:
        raise BadRequest(f"stream: found {key!r}, which clients leave out of an address; expected another name")
    if not 1 <= len(key) <= limits.MAX_STREAM_KEY_LENGTH or not names.is_storable(key):
        raise BadRequest(
            f"stream: found {key[:60]!r} of {len(key)} characters; expected 1 to {limits.MAX_STREAM_KEY_LENGTH}"
        )


async def target(tx: Tx, environment: Environment, run: uuid.UUID, whose: Target) -> uuid.UUID:
    """Return the run whose stream is meant; a run without a parent is its own.

    Raises:
        NotFound: There is no such run in the caller's environment.
    """
    family = await _find_targets(tx, env_id=environment.id, run_id=run)
    if family is None:
        raise _unknown(run)
    match whose:
        case "self":
            return run
        case "parent":
            return family.parent_id or run
        case "root":
            return family.root_id or run


async def register(tx: Tx, environment: Environment, run: uuid.UUID, key: str, *, effects: Effects) -> None:
    """Let subscribers of a run know that it has a stream.

    Raises:
        BadRequest: The run has ended.
        NotFound: There is no such run in the caller's environment.
    """
    if await _hold(tx, environment, run):
        raise BadRequest(f"run {ids.show(ids.RUN, run)} has ended; streams are made while a run is in progress")
    await _make(tx, environment, run, key, effects)


async def append(
    tx: Tx,
    environment: Environment,
    run: uuid.UUID,
    key: str,
    chunks: Sequence[tuple[int, str]],
    *,
    writer: str,
    effects: Effects,
) -> None:
    """Store chunks of one writer at the end of a stream; those that are there already are left.

    A run that has ended takes none: whoever has read its streams was told that there is no more. Chunks that were
    stored before it ended may be sent again.

    Args:
        tx: The transaction.
        environment: Whose.
        run: Its run.
        key: The stream; made where it is missing.
        chunks: Each with its place in the writer's own count, and as JSON in one line.
        writer: Names who writes, within the stream.
        effects: Gets what others must hear of.

    Raises:
        BadRequest: The run has ended, and not all of the chunks are stored.
        NotFound: There is no such run in the caller's environment.
    """
    parts = [part for part, _ in chunks]
    if await _hold(tx, environment, run):
        known = await _count_known(tx, env_id=environment.id, run_id=run, key=key, writer=writer, parts=parts)
        if known.known < len(set(parts)):
            raise BadRequest(f"run {ids.show(ids.RUN, run)} has ended; its streams take no more")
        return
    await _make(tx, environment, run, key, effects)
    # Others that append wait here; what they have appended is seen by the next statement.
    before = await _lock(tx, env_id=environment.id, run_id=run, key=key)
    added = await _append(
        tx,
        env_id=environment.id,
        run_id=run,
        key=key,
        chunks=before.chunks,
        writer=writer,
        parts=parts,
        data=[data for _, data in chunks],
    )
    if added:
        await _count(tx, env_id=environment.id, run_id=run, key=key, added=len(added))
        effects.stream(environment, run)


async def send(
    tx: Tx, environment: Environment, run: uuid.UUID, key: str, data: str, *, part: str, effects: Effects
) -> None:
    """Store a value at the end of an input stream of a run; one that is there already is left.

    Args:
        tx: The transaction.
        environment: Whose.
        run: Its run, in progress or yet to begin.
        key: The input stream.
        data: JSON in one line.
        part: Names the sending, within the stream.
        effects: Gets what others must hear of.

    Raises:
        BadRequest: The run has ended, and was not sent this before.
        NotFound: There is no such run in the caller's environment.
    """
    state = await _hold_run_alone(tx, env_id=environment.id, run_id=run)
    if state is None:
        raise _unknown(run)
    if state.has_ended:
        if not (await _count_sent(tx, env_id=environment.id, run_id=run, key=key, part=part)).known:
            raise BadRequest(f"run {ids.show(ids.RUN, run)} has ended; nobody would read what it is sent")
    elif await _send(tx, env_id=environment.id, run_id=run, key=key, part=part, data=data) is not None:
        effects.stream(environment, run)


async def last_part(tx: Tx, environment: Environment, run: uuid.UUID, key: str, writer: str) -> int:
    """Return the last chunk that a writer has brought, by the writer's own count; -1 where there is none."""
    return (await _last_part(tx, env_id=environment.id, run_id=run, key=key, writer=writer)).part


async def read_tail(tx: Tx, environment_id: int, run: uuid.UUID, name: Name) -> Tail:
    """Return where a stream ends for now; one that nobody has written to is empty.

    Raises:
        NotFound: There is no such run in the environment.
    """
    query = _read_input_tail if name.is_input else _read_tail
    tail = await query(tx, env_id=environment_id, run_id=run, key=name.key)
    if tail is None:
        raise _unknown(run)
    return tail


async def read(tx: Tx, environment_id: int, run: uuid.UUID, name: Name, *, first: int) -> list[Chunk]:
    """Return chunks from a number on, in order: at most ``PAGE``, and none once they are large."""
    query = _read_inputs if name.is_input else _read_chunks
    return await query(
        tx, env_id=environment_id, run_id=run, key=name.key, first=first, limit=PAGE, max_bytes=PAGE_BYTES
    )


async def _hold(tx: Tx, environment: Environment, run: uuid.UUID) -> bool:
    """Keep a run as it is until the transaction has ended; return whether it has ended.

    Raises:
        NotFound: There is no such run in the environment.
    """
    state = await _hold_run(tx, env_id=environment.id, run_id=run)
    if state is None:
        raise _unknown(run)
    return state.has_ended


async def _make(tx: Tx, environment: Environment, run: uuid.UUID, key: str, effects: Effects) -> None:
    if await _register(tx, env_id=environment.id, run_id=run, key=key) is not None:
        effects.change(environment, [run])


def _unknown(run: uuid.UUID) -> NotFound:
    return NotFound(f"no run {ids.show(ids.RUN, run)} in this environment")
