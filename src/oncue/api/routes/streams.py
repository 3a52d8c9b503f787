"""Streams: runs send values, one after the other, and clients follow them as server-sent events.

Source: wire contract §6.4.
"""

import asyncio
import contextlib
import functools
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import msgspec

from oncue.api import access, bodies, named_runs
from oncue.api.bodies import Line
from oncue.api.calls import Answer, Call
from oncue.api.event_streams import EventStream
from oncue.api.routing import Route
from oncue.engine import run_streams
from oncue.engine.run_streams import Name, Target
from oncue.protocol import ids, limits, names
from oncue.protocol.errors import ApiError, BadRequest, PayloadTooLarge, Unavailable
from oncue.protocol.streams import ChunksTaken, StreamEvent, StreamRegistered

_GROUP: Final = 64
"""Chunks that are stored in one transaction, where they came together."""
_LAST_EVENT: Final = re.compile(r"(?:[0-9]{1,16}-)?(-1|[0-9]{1,18})", re.ASCII)
"""The id of an event, or of the place where reading began (-1 where there was no chunk yet); or a chunk's number alone,
as official clients send it that are to begin there."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_MAX_NAME_LENGTH: Final = 256
MEDIA_TYPE: Final = "text/event-stream"
_DEFAULT_WRITER: Final = "default"
_LATEST: Final = "latest"
_TARGETS: Final[dict[str, Target]] = {"self": "self", "parent": "parent", "root": "root"}


async def read(call: Call, _: None) -> Answer:
    """Send the chunks of a stream as they come, until its run has ended."""
    return await follow(call, Name(key_of(call)))


@named_runs.by_any_name
async def follow(call: Call, name: Name) -> Answer:
    """Answer with a stream of the path's run."""
    run, first, timeout_s = run_of(call), _first(call), _timeout(call)
    # Here, while a refusal can still be answered. For a run that is not there no server is told of a reader.
    await call.services.read(lambda tx: run_streams.read_tail(tx, call.environment.id, run, name))
    reader = await call.services.tails.join(call.owner, run, name, first=first)
    return Answer(
        EventStream(reader, tells_place=first is None, timeout_s=timeout_s, check=functools.partial(_check, call)),
        headers=((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"), (b"x-stream-version", b"v1")),
        media_type=MEDIA_TYPE.encode(),
    )


async def register(call: Call, _: None) -> Answer:
    """Let a run have a stream, and say how its chunks are to be sent."""
    key = key_of(call)
    run = await _target(call, _whose(call))
    await bodies.read(call, limits.MAX_CHUNK_BYTES)
    await call.services.write(lambda tx, effects: run_streams.register(tx, call.environment, run, key, effects=effects))
    return Answer(StreamRegistered(), HTTPStatus.ACCEPTED)


async def ingest(call: Call, _: None) -> Answer:
    """Take chunks as they arrive, one on each line, until the client has sent them all."""
    key = key_of(call)
    part = _resumed_from(call)
    # Whoever names neither itself nor a chunk sends nothing again.
    writer = name_of(call, b"x-client-id", _DEFAULT_WRITER if part else uuid.uuid4().hex)
    run = await _target(call, _whose(call))
    taking = asyncio.create_task(_take(call, run, key, writer, part), name="oncue-ingest")
    try:
        with call.services.cancelled_by_drain(taking):
            await asyncio.wait([taking])
    finally:
        taking.cancel()
    if taking.cancelled():
        raise Unavailable("the server is about to stop; send what is left to another")
    await taking
    return Answer(ChunksTaken())


async def _take(call: Call, run: uuid.UUID, key: str, writer: str, part: int) -> None:
    """Store chunks as they arrive."""
    async with aclosing(_groups(bodies.lines(call.receive, limits.MAX_CHUNK_BYTES))) as groups:
        async for lines in groups:
            chunks, refused = _chunks(lines, part)
            if chunks:
                await _store(call, run, key, chunks, writer)
            if refused is not None:
                raise refused
            part += len(chunks)


async def last_chunk(call: Call, _: None) -> Answer:
    """Say which chunk of its own a writer has brought last, so that it can go on from there."""
    key, writer = key_of(call), name_of(call, b"x-client-id", _DEFAULT_WRITER)
    run = await _target(call, _whose(call))
    last = await call.services.read(lambda tx: run_streams.last_part(tx, call.environment, run, key, writer))
    return Answer(b"", headers=((b"x-last-chunk-index", b"%d" % last),), media_type=b"text/plain")


async def append(call: Call, _: None) -> Answer:
    """Take one chunk: the whole body, whatever it is."""
    key, part = key_of(call), name_of(call, b"x-part-id", uuid.uuid4().hex)
    run = await _target(call, _whose(call))
    body = await bodies.read(call, limits.MAX_CHUNK_BYTES)
    await _store(call, run, key, [(0, _json(Line(1, body), 0))], f"part:{part}")
    return Answer(ChunksTaken())


async def _check(call: Call) -> None:
    """Refuse who would be refused now, though he was not when the stream began.

    Raises:
        Unauthorized: The key was revoked, or the token has expired.
    """
    # Who cannot be looked up while the database is away is not the one to suffer.
    with contextlib.suppress(Unavailable):
        await call.services.keys.authenticate(call.header(b"authorization"))


async def _groups(lines: AsyncIterator[Line]) -> AsyncGenerator[Sequence[Line], None]:
    """Yield lines together that arrived while the ones before were being stored."""
    arrived: asyncio.Queue[Line | Exception | None] = asyncio.Queue(_GROUP)

    async def fetch() -> None:
        try:
            async for line in lines:
                await arrived.put(line)
        except Exception as error:  # raised again where it is read  # noqa: BLE001
            await arrived.put(error)
        else:
            await arrived.put(None)

    fetching = asyncio.create_task(fetch(), name="oncue-ingest")
    try:
        while True:
            found = [await arrived.get()]
            while not arrived.empty():
                found.append(arrived.get_nowait())
            group = [line for line in found if isinstance(line, Line)]
            if group:
                yield group
            match found[-1]:
                case None:
                    return
                case Exception() as error:
                    raise error
                case _:
                    pass
    finally:
        fetching.cancel()


async def _store(call: Call, run: uuid.UUID, key: str, chunks: Sequence[tuple[int, str]], writer: str) -> None:
    await call.services.write(
        lambda tx, effects: run_streams.append(tx, call.environment, run, key, chunks, writer=writer, effects=effects)
    )


@named_runs.by_any_name
async def _target(call: Call, whose: Target) -> uuid.UUID:
    run = run_of(call)
    return await call.services.read(lambda tx: run_streams.target(tx, call.environment, run, whose))


def run_of(call: Call) -> uuid.UUID:
    """Return the path's run."""
    return call.id_of(ids.RUN, "run")


def key_of(call: Call) -> str:
    """Return the path's key."""
    key = call.parameters["key"]
    run_streams.check_key(key)
    return key


def _whose(call: Call) -> Target:
    found = call.parameters["target"]
    if found not in _TARGETS:
        raise BadRequest(f"found {found[:60]!r} as the stream's owner; expected self, parent or root")
    return _TARGETS[found]


def _chunks(lines: Sequence[Line], first: int) -> tuple[list[tuple[int, str]], ApiError | None]:
    """Number lines, up to the first that is no chunk; those before it count all the same."""
    chunks: list[tuple[int, str]] = []
    for number, line in enumerate(lines, first):
        try:
            chunks.append((number, _json(line, number)))
        except (BadRequest, PayloadTooLarge) as error:
            return chunks, error
    return chunks, None


def _json(line: Line, number: int) -> str:
    """Return a chunk as JSON in one line; what is no JSON is a text."""
    if line.is_cut:
        raise PayloadTooLarge(f"chunk {number} is too large; the limit is {limits.MAX_CHUNK_BYTES:,} bytes")
    try:
        text = line.text.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"chunk {number} is not UTF-8; those before it were taken") from None
    try:
        msgspec.json.decode(line.text)
        return msgspec.json.format(text, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode(text).decode()


def name_of(call: Call, header: bytes, default: str) -> str:
    """Return what a writer names itself or what it writes with."""
    found = call.header(header) or default
    if len(found) > _MAX_NAME_LENGTH or not names.is_storable(found):
        raise BadRequest(f"{header.decode()} has {len(found)} characters; expected at most {_MAX_NAME_LENGTH}")
    return found


def _resumed_from(call: Call) -> int:
    text = call.header(b"x-resume-from-chunk") or "0"
    if not _NUMBER.fullmatch(text):
        raise BadRequest(f"x-resume-from-chunk: found {text[:60]!r}; expected the number of the first chunk")
    return int(text)


def _first(call: Call) -> int | None:
    """Return the number of the first chunk that is wanted; None: the next that comes."""
    last = call.header(b"last-event-id")
    if last:
        match = _LAST_EVENT.fullmatch(last)
        if match is None:
            raise BadRequest(f"last-event-id: found {last[:60]!r}; expected the id of an event of this stream")
        return int(match[1]) + 1
    return None if call.header(b"x-trigger-stream-start") == _LATEST else 0


def _timeout(call: Call) -> float | None:
    text = call.header(b"timeout-seconds")
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= limits.MAX_STREAM_TIMEOUT:
        raise BadRequest(f"timeout-seconds: found {text[:60]!r}; expected 1 to {limits.MAX_STREAM_TIMEOUT}")
    return float(text)


_WRITE: Final = "/realtime/v1/streams/{run}/{target}/{key}"

ROUTES = (
    Route(
        method="GET",
        path="/realtime/v1/streams/{run}/{key}",
        handle=read,
        summary="Follow a stream of a run as server-sent events",
        needs=access.run_reading,
        answer=StreamEvent,
        media_type=MEDIA_TYPE,
        errors=(HTTPStatus.NOT_FOUND,),
        rate_limited=False,
    ),
    Route(
        method="PUT",
        path=_WRITE,
        handle=register,
        summary="Let a run have a stream",
        answer=StreamRegistered,
        statuses=(HTTPStatus.ACCEPTED,),
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        rate_limited=False,
    ),
    Route(
        method="POST",
        path=_WRITE,
        handle=ingest,
        summary="Send chunks of a stream, one on each line",
        answer=ChunksTaken,
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        rate_limited=False,
    ),
    Route(
        method="HEAD",
        path=_WRITE,
        handle=last_chunk,
        summary="Ask which chunk of a stream has arrived last",
        answer=str,
        media_type="text/plain",
        errors=(HTTPStatus.NOT_FOUND,),
        rate_limited=False,
    ),
    Route(
        method="POST",
        path=f"{_WRITE}/append",
        handle=append,
        summary="Append one chunk to a stream",
        answer=ChunksTaken,
        errors=(HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        rate_limited=False,
    ),
)
