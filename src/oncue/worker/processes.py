"""Processes: several worker processes under one small parent, to use more than one core.

The parent runs no task and speaks to no server. It starts the children, passes signals on, starts anew those that die,
and ends when they have ended; a child whose parent has died stops by itself (see ``child.py``).
"""

import asyncio
import contextlib
import signal
import sys
from typing import Final

import msgspec

from oncue import telemetry
from oncue.worker import capacity
from oncue.worker.options import WorkerOptions

_GIVE_UP: Final = (1, 2)
"""Exit codes of a child that another start would not help: refused by the server, or a setting is at fault."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_HEALTHY_S: Final = 60.0
"""A child that lived this long did not die of its start."""


def supervise(options: WorkerOptions) -> int:
    """Run ``options.processes`` worker processes until a signal ends them.

    Returns:
        The exit code: 0 after a signal, else that of the child for which all were stopped.
    """
    return asyncio.run(_Family(options).live())


class _Family:
    """The children, and what is known of them."""

    def __init__(self, options: WorkerOptions) -> None:
        self._count = options.processes
        self._options = msgspec.json.encode(capacity.share(options)) + b"\n"
        self._children: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._code = 0

    async def live(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, self._stop)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._keep_one())
        return self._code

    def _stop(self) -> None:
        """Tell the children once more to stop: a second time makes them hurry."""
        self._stopping.set()
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)

    async def _keep_one(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            started_at_s = loop.time()
            code, pid = await self._live_once()
            if self._stopping.is_set():
                return
            if code in _GIVE_UP:
                self._code = code
                self._stop()
                return
            telemetry.event("worker.died", pid=pid, exit_code=code)
            pause_s = _FIRST_PAUSE_S if loop.time() - started_at_s > _HEALTHY_S else min(pause_s * 2, _LONGEST_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _live_once(self) -> tuple[int, int]:
        # A process group of its own: Ctrl-C at a terminal reaches the parent alone, which passes it on once.
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "oncue.worker.child", stdin=asyncio.subprocess.PIPE, process_group=0
        )
        self._children.add(child)
        try:
            assert child.stdin is not None
            # Held open as long as the parent lives: its end tells the child.
            child.stdin.write(self._options)
            if self._stopping.is_set():
                child.send_signal(signal.SIGTERM)
            return await child.wait(), child.pid
        finally:
            self._children.discard(child)
