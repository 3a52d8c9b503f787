"""Streams: values that a run sends while it goes on, and that others read as they come; and values that it is sent.

Inside a task ``pipe`` sends what an iterable yields and ``append`` one value; ``read`` follows a stream from anywhere,
to the end of its run. The other way ``send`` gives a value to a run from anywhere, and inside its task ``received``
yields what has come; that has nothing to do with what the run sends under the same key. Values are what the codec can
write as JSON. Whatever breaks in between, each value is stored once and read once; a run that is tried again sends
after what its attempt before has sent.

Example::

    await streams.pipe("words", model.answer(question))

    async for word in streams.read(handle, "words"):
        print(word, end="")

Life of a run, this module's part::

    user code -> streams.pipe -> Source -> chunks -> engine/run_streams -> api/tails -> streams.read
    anywhere -> streams.send -> engine/run_streams -> api/tails -> streams.received -> user code
"""

import uuid
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing, closing
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import quote

from oncue.protocol import codec, limits, names
from oncue.protocol.errors import OutsideTaskError, PayloadTooLarge
from oncue.sdk import connections, execution, flows, requests, transport
from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.event_streams import EventStream
from oncue.sdk.flows import Flow, Pull
from oncue.sdk.run_refs import RunRef, run_id_of
from oncue.sdk.sources import Source

Target: TypeAlias = Literal["self", "parent", "root"]

_TOGETHER_S: Final = 0.02
"""How long a value waits for others to be sent with; nobody sees that as a pause."""
_REQUEST_BYTES: Final = 768 * 1024
"""Of values that are sent in one request; one that is larger goes alone."""
_WRAPPED: Final = len('{"data":}')
"""Around a value for an input stream, which counts against its limit."""


def pipe(key: str, values: Iterable[Any] | AsyncIterable[Any], *, target: Target = "self") -> Coroutine[Any, Any, int]:
    """Send what an iterable yields as a stream of this run, or of one above it, each value as it comes.

    Args:
        key: Names the stream within the run, 1 to 256 characters.
        values: A list, an iterable or an async iterable; what it raises is raised here, after what came before is sent.
        target: Whose stream it is: ``self``, ``parent`` for the run that triggered this one, ``root`` for the first of
            the family; this run where there is none. Several may write to one stream at once, each in its order.

    Returns:
        How many values were sent and are stored.

    Raises:
        OutsideTaskError: No run is executing here.
        ValueError: ``key`` or ``target`` makes no sense, or a value cannot be written as JSON.
        TypeError: ``values`` is one value, such as a text or a dict, and not several.
        PayloadTooLarge: A value is larger than 512 KB; those before it are sent.

    While the server is away it waits; a value whose answer was lost is stored once.

    Example::

        async def words():
            async for part in model.answer(question):
                yield part.text

        await streams.pipe("words", words())
    """
    path, source = _path("streams.pipe", key, target), _source(values)
    return transport.start(_sent(path, key, source), "streams.pipe")


def append(key: str, value: object, *, target: Target = "self") -> Coroutine[Any, Any, None]:
    """Send one value as the next of a stream of this run, or of one above it; arguments and errors as for ``pipe``.

    Example::

        await streams.append("progress", {"page": number, "of": total})
    """
    return transport.start(_appended(_path("streams.append", key, target), key, value), "streams.append")


def read(run: RunRef, key: str, *, latest: bool = False) -> AsyncIterator[Any]:
    """Read a stream of a run, each value as it comes, until the run has ended and everything was read.

    A connection that breaks is made again, and reading goes on after the value that came last.

    Args:
        run: Its id or handle.
        key: Names the stream; one that nobody has written to yet is waited for.
        latest: Begin with the next value that comes, not with the first.

    Raises:
        ConnectionFailed: No server was there to begin with.
        NotFound: There is no such run in this environment.

    Example::

        async for word in streams.read(handle, "words"):
            print(word, end="")
    """
    return _values(EventStream(run_id_of(run), _checked(key), latest=latest))


def send(run: RunRef, key: str, value: object) -> Coroutine[Any, Any, None]:
    """Send a value to a run, which reads it with ``received``; from anywhere, also before the run begins.

    Args:
        run: Its id or handle.
        key: Names the input stream within the run, 1 to 256 characters.
        value: Anything that can be written as JSON, up to 1 MB.

    Raises:
        BadRequest: The run has ended.
        NotFound: There is no such run in this environment.
        PayloadTooLarge: The value is too large.
        ValueError: ``key`` makes no sense, or the value cannot be written as JSON.

    Example::

        await streams.send(handle, "chat", {"text": "and in French?"})
    """
    return transport.start(_given(run, key, value), "streams.send")


def received(key: str) -> AsyncIterator[Any]:
    """Follow what this run is sent under a key, each value as it comes.

    The first one is the first that was ever sent to the run, also before it began; a run that is tried again reads all
    of them again. It goes on until the loop is left or the run ends, and waits for values that nobody may send: say
    with a value that it was the last one. The run keeps its place on its worker meanwhile.

    Args:
        key: Names the input stream.

    Raises:
        OutsideTaskError: No run is executing here.

    Example::

        async for message in streams.received("chat"):
            if message == "bye":
                break
            await streams.pipe("answers", model.answer(message))
    """
    return _values(_input("streams.received", key))


async def _values(stream: EventStream) -> AsyncIterator[Any]:
    while True:
        ended: Answer | NoAnswer | None = None
        async with aclosing(connections.pieces(stream.request(), transport.clock.now)) as pieces:
            async for piece in pieces:
                if isinstance(piece, bytes):
                    for value in stream.take(piece):
                        yield value
                else:
                    ended = piece
        if ended is None:
            return
        await transport.clock.pause(stream.pause_after(ended))


class BlockingStreams:
    """``streams.sync``: the same functions, blocking the thread."""

    def pipe(self, key: str, values: Iterable[Any], *, target: Target = "self") -> int:
        """Send what an iterable yields: ``streams.sync.pipe("rows", rows())``."""
        if isinstance(values, AsyncIterable):
            raise TypeError(f"values is an async iterable ({type(values).__name__}); expected an iterable with .sync")
        return transport.run(_sent(_path("streams.sync.pipe", key, target), key, _source(values)))

    def append(self, key: str, value: object, *, target: Target = "self") -> None:
        """Send one value: ``streams.sync.append("progress", 3)``."""
        transport.run(_appended(_path("streams.sync.append", key, target), key, value))

    def read(self, run: RunRef, key: str, *, latest: bool = False) -> Iterator[Any]:
        """Read a stream of a run: ``for word in streams.sync.read(handle, "words"): ...``."""
        return _values_blocking(EventStream(run_id_of(run), _checked(key), latest=latest))

    def send(self, run: RunRef, key: str, value: object) -> None:
        """Send a value to a run: ``streams.sync.send(handle, "chat", "and in French?")``."""
        transport.run(_given(run, key, value))

    def received(self, key: str) -> Iterator[Any]:
        """Follow what this run is sent: ``for message in streams.sync.received("chat"): ...``."""
        return _values_blocking(_input("streams.sync.received", key))


def _values_blocking(stream: EventStream) -> Iterator[Any]:
    while True:
        ended: Answer | NoAnswer | None = None
        with closing(connections.pieces_blocking(stream.request(), transport.clock.now)) as pieces:
            for piece in pieces:
                if isinstance(piece, bytes):
                    yield from stream.take(piece)
                else:
                    ended = piece
        if ended is None:
            return
        transport.clock.sleep(stream.pause_after(ended))


def _source(values: Iterable[Any] | AsyncIterable[Any]) -> Source:
    """Return where values come from.

    Those of a list are there, and are sent many at a time. Those of any other iterable are made while it is asked for
    them, so each is sent before that goes on.

    Raises:
        TypeError: It is one value, which could be taken for several: the letters of a text are hardly meant.
    """
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable | AsyncIterable):
        raise TypeError(
            f"values is one value ({type(values).__name__}); expected several, as a list or an iterable; "
            "for one use streams.append(key, value)"
        )
    return Source(values, patience_s=_TOGETHER_S if isinstance(values, AsyncIterable | Sequence | AbstractSet) else 0.0)


def _sent(path: str, key: str, source: Source) -> Flow[int]:
    # By its name and their places the server knows chunks that it has already.
    writer, count = uuid.uuid4().hex, 0
    try:
        while True:
            chunk = yield Pull(source)
            lines, unwritable = _lines(key, count, chunk.items)
            for group in _groups(lines):
                yield from flows.exchange(requests.send_chunks(path, b"".join(group), writer=writer, first=count))
                count += len(group)
            if unwritable is not None:
                raise unwritable
            if chunk.error is not None:
                raise chunk.error
            if chunk.ended:
                return count
    finally:
        source.close()


def _lines(key: str, first: int, values: Iterable[Any]) -> tuple[list[bytes], ValueError | PayloadTooLarge | None]:
    """Write values, up to the first that cannot be written; those before it are sent all the same."""
    lines: list[bytes] = []
    for number, value in enumerate(values, first):
        try:
            lines.append(_chunk(f"value {number} of the stream {key!r}, counted from 0,", value) + b"\n")
        except (ValueError, PayloadTooLarge) as error:
            return lines, error
    return lines, None


def _groups(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Part lines for requests that slow connections and proxies let through."""
    first = size = 0
    for number, line in enumerate(lines):
        if size and size + len(line) > _REQUEST_BYTES:
            yield lines[first:number]
            first, size = number, 0
        size += len(line)
    if first < len(lines):
        yield lines[first:]


def _appended(path: str, key: str, value: object) -> Flow[None]:
    document = _chunk(f"a value of the stream {key!r}", value)
    yield from flows.exchange(requests.append_chunk(path, document, part=uuid.uuid4().hex))


def _chunk(what: str, value: object) -> bytes:
    """Write a value that is sent from a run."""
    return _held_to(limits.MAX_CHUNK_BYTES, what, _document(value))


def _held_to(limit: int, what: str, document: bytes) -> bytes:
    if len(document) > limit:
        raise PayloadTooLarge(
            f"{what} has {len(document):,} bytes as JSON, and {limit:,} is the limit; "
            "send it in parts, or keep it elsewhere and send where it is"
        )
    return document


def _given(run: RunRef, key: str, value: object) -> Flow[None]:
    most = limits.MAX_INPUT_BYTES - _WRAPPED
    document = _held_to(most, f"a value for the input stream {_checked(key)!r}", _document(value))
    return flows.exchange(requests.send_input(run_id_of(run), key, document, part=uuid.uuid4().hex))


def _input(function: str, key: str) -> EventStream:
    run_id = _running(
        f"{function}() reads what the run that calls it is sent, and no run is executing here; from outside, send it "
        "something with streams.send(run, key, value)"
    )
    return EventStream(run_id, _checked(key), is_input=True)


def _path(function: str, key: str, target: str) -> str:
    run_id = _running(
        f"{function}() writes to a stream of the run that calls it, and no run is executing here; from outside, "
        "read it with streams.read(run, key)"
    )
    if target not in get_args(Target):
        raise ValueError(f"target={target!r} is not accepted; expected 'self', 'parent' or 'root'")
    return f"/realtime/v1/streams/{run_id}/{target}/{quote(_checked(key), safe='')}"


def _running(otherwise: str) -> str:
    """Return the id of the run that is executing here.

    Raises:
        OutsideTaskError: There is none.
    """
    running = execution.current.get()
    if running is None:
        raise OutsideTaskError(otherwise)
    return running.context.run.id


def _checked(key: object) -> str:
    if (
        not isinstance(key, str)
        or not 1 <= len(key) <= limits.MAX_STREAM_KEY_LENGTH
        or not names.is_storable(key)
        or key in {".", ".."}
    ):
        raise ValueError(
            f"key={key!r} is not accepted; expected 1 to {limits.MAX_STREAM_KEY_LENGTH} characters, no NUL, not . or .."
        )
    return key


def _document(value: object) -> bytes:
    try:
        return codec.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"a value of type {type(value).__name__} cannot be written as JSON: {error}") from None


sync: Final = BlockingStreams()
