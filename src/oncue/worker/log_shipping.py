"""Log shipping: bring the lines of runs to the server.

Within half a second of a line, many together, beside everything else: no run waits for its lines. They are sent again
until they are stored, in their order; where too many pile up the latest are dropped, and that is said.

Life of a run, this module's part::

    sdk/logger -> HeldRun.log -> LogShipper.add -> LogsRequest -> engine/run_logs
"""

import asyncio
import datetime
import itertools
from collections import deque
from typing import Any, Final, Protocol

import msgspec

from oncue import telemetry
from oncue.protocol import codec
from oncue.protocol.errors import ApiError, BadRequest, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.logs import Level, LogLine, LogsKept, LogsRequest
from oncue.worker.outage import Outage

AFTER_S: Final = 0.3
GROUP: Final = 500
GROUP_BYTES: Final = 512 * 1024
MAX_LINES: Final = 20_000
"""Lines that are kept while the server cannot be reached."""

MAX_MESSAGE_CHARS: Final = 10_000
MAX_FIELDS_BYTES: Final = 64 * 1024


class LogsLink(Protocol):
    """What shipping needs of the server."""

    async def bring_logs(self, request: LogsRequest, /) -> LogsKept:
        """Store lines."""


class LogShipper:
    """The lines that the server has not stored; ``add`` may be called on every thread."""

    def __init__(self, link: LogsLink) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._lines: deque[LogLine] = deque()
        self._numbers = itertools.count()
        self._dropped = 0
        self._added = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._outage = Outage("logs.failed")
        self._hurries = False

    def add(self, run_id: str, epoch: int, attempt: int, level: Level, message: str, *, fields: dict[str, Any]) -> None:
        """Take a line."""
        if len(self._lines) >= MAX_LINES:
            self._dropped += 1
            return
        line = LogLine(
            run_id=run_id,
            epoch=epoch,
            number=next(self._numbers),
            attempt=attempt,
            at=datetime.datetime.now(datetime.UTC),
            level=level,
            message=storable(message),
            fields=_document(fields),
        )
        self._lines.append(line)
        if not self._added.is_set():
            self._loop.call_soon_threadsafe(self._added.set)

    async def flushed(self) -> None:
        """Wait until the server has every line."""
        self._hurries = True
        while self._lines:
            self._emptied.clear()
            self._added.set()
            await self._emptied.wait()

    async def run(self) -> None:
        """Ship for ever."""
        while True:
            self._added.clear()
            while not self._lines:
                self._emptied.set()
                await self._added.wait()
                self._added.clear()
            if not self._hurries:
                await asyncio.sleep(AFTER_S)
            await self._ship(self._next_group())
            if self._dropped:
                telemetry.event("logs.dropped", lines=self._dropped)
                self._dropped = 0

    def _next_group(self) -> list[LogLine]:
        group: list[LogLine] = []
        size_bytes = 0
        for line in itertools.islice(self._lines, GROUP):
            size_bytes += 4 * len(line.message) + len(line.fields) + 200
            if group and size_bytes > GROUP_BYTES:
                break
            group.append(line)
        return group

    async def _ship(self, group: list[LogLine]) -> None:
        while True:
            try:
                await self._link.bring_logs(LogsRequest(group))
            except (BadRequest, PayloadTooLarge, UnprocessableRequest) as error:
                telemetry.event("logs.dropped", lines=len(group), error=str(error)[:500])
                break
            except ApiError as error:
                await asyncio.sleep(self._outage.failed(error))
            else:
                self._outage.over()
                break
        for _ in group:
            self._lines.popleft()


def storable(text: str) -> str:
    """Return a text as it is kept: not too long, and without what neither JSON nor PostgreSQL takes.

    Which are lone surrogates and NUL.
    """
    return text[:MAX_MESSAGE_CHARS].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a line's fields as they will be read: as JSON has them."""
    document = _document(fields)
    return msgspec.json.decode(document) if document else {}


def _document(fields: dict[str, Any]) -> msgspec.Raw:
    if not fields:
        return codec.NOTHING
    document = _encoded(fields)
    if len(document) > MAX_FIELDS_BYTES:
        document = _encoded({"too large to keep": sorted(fields)[:100], "bytes": len(document)})
    return msgspec.Raw(document)


def _encoded(fields: dict[str, Any]) -> bytes:
    try:
        return codec.encode(fields)
    except Exception:  # noqa: BLE001 - a value may bring code of its own; a line of log must not fail its run
        return codec.encode({name: _plain(value) for name, value in fields.items()})


def _plain(value: object) -> object:
    try:
        return msgspec.Raw(codec.encode(value))
    except Exception:  # noqa: BLE001 - same
        return _shown(value)


def _shown(value: object) -> str:
    try:
        return storable(repr(value)[:1_000])
    except Exception:  # noqa: BLE001 - an object's own repr may raise anything
        return f"(a {type(value).__name__} that cannot be shown)"
