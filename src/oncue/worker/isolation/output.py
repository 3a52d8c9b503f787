"""Output: what the process of a run prints, passed on as the worker's own, its last lines kept."""

import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

KEPT_BYTES: Final = 8 * 1024
KEPT_LINES: Final = 20
CLOSE_AFTER_S: Final = 1.0


class Output:
    """Two pipes, for standard output and standard error, and the end of what came through both."""

    def __init__(self) -> None:
        self._out = os.pipe()
        try:
            self._err = os.pipe()
        except OSError:
            for file in self._out:
                os.close(file)
            raise
        self._last = bytearray()
        self._transports: list[asyncio.ReadTransport] = []
        self._ended = asyncio.Event()

    def ends(self) -> tuple[int, int]:
        """Return where the process is to write: standard output, standard error."""
        return self._out[1], self._err[1]

    def hand_over(self) -> None:
        """Close the ends that are the process's."""
        for file in self.ends():
            os.close(file)

    def abandon(self) -> None:
        """Close all ends, where nothing will be written or read."""
        for file in (*self._out, *self._err):
            os.close(file)

    async def read(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        for file, to in ((self._out[0], sys.stdout), (self._err[0], sys.stderr)):
            pipe = os.fdopen(file, "rb", buffering=0)
            make = functools.partial(_Reader, self._last, getattr(to, "buffer", None), self._one_ended)
            transport, _ = await loop.connect_read_pipe(make, pipe)
            self._transports.append(transport)

    async def until_ended(self, timeout_s: float) -> None:
        """Wait until all that the process printed is here, or until the time is over: what it started may print on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()

    def close(self) -> None:
        """Read no more than what is on its way."""
        loop = asyncio.get_running_loop()
        for transport in self._transports:
            loop.call_later(CLOSE_AFTER_S, transport.close)

    def _one_ended(self) -> None:
        if all(transport.is_closing() for transport in self._transports):
            self._ended.set()

    def last_lines(self) -> str:
        """Return the end of what was printed; empty where nothing was."""
        return "\n".join(self._last.decode(errors="replace").rstrip().splitlines()[-KEPT_LINES:])


class _Reader(asyncio.Protocol):
    """Passes one of the two streams on."""

    def __init__(self, last: bytearray, to: BinaryIO | None, ended: Callable[[], None]) -> None:
        self._last = last
        self._to = to
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        """Take note that nothing more will be printed."""
        self._ended()

    def data_received(self, data: bytes) -> None:
        """Take what was printed."""
        self._last += data
        del self._last[:-KEPT_BYTES]
        if self._to is not None:
            self._to.write(data)
            self._to.flush()
