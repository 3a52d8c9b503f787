"""Children: commands of ours that run as processes of their own beside the one that a person called.

Each is tethered (see ``tether.py``), so that nothing outlives its starter, and has a process group of its own, so that
Ctrl-C at a terminal reaches the starter alone, which stops its children in the right order.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Self

from oncue.cli import settings

_KILL_AFTER_S: Final = 15.0
"""How long a child may take once it has been told to stop, beyond what it was given itself."""


class Child:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self.name = name

    @classmethod
    async def start(
        cls,
        *arguments: str,
        environment: Mapping[str, str | None] | None = None,
        quiet: bool = False,
        tells: bool = False,
        shares: Sequence[int] = (),
    ) -> Self:
        """Start ``oncue ARGUMENTS``.

        Args:
            arguments: Of the command line.
            environment: Variables to set, or to take away with None.
            quiet: Discard what it writes to standard error.
            tells: It writes a line to standard output when it is ready, see ``told``.
            shares: File descriptors that it inherits.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "oncue.cli.tether", *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if tells else None,
            stderr=asyncio.subprocess.DEVNULL if quiet else None,
            env=settings.for_child(environment or {}),
            process_group=0,
            pass_fds=tuple(shares),
        )  # fmt: skip
        return cls(process, arguments[0])

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def told(self) -> bytes | None:
        """Return the line that it writes when it is ready, or None where it ended without one."""
        assert self._process.stdout is not None
        return await self._process.stdout.readline() or None

    async def ended(self) -> int:
        """Wait for its end; return its exit code, negative where a signal killed it."""
        return await self._process.wait()

    async def stop(self, *, within_s: float = _KILL_AFTER_S) -> int:
        """Tell it to stop, and kill it where it does not; return its exit code."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                return await self.ended()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
