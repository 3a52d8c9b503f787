"""Warm: the worker's side of its fork server, which is started when a run first needs it, or before.

Life of a run, this module's part::

    worker/isolation/isolated -> WarmProcess.fork -> fork_server -> process
"""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from oncue import telemetry
from oncue.protocol.machines import Size
from oncue.sdk.settings import Settings
from oncue.worker.isolation.messages import (
    MAX_PACKET_BYTES,
    Fork,
    Forked,
    FromForkServer,
    Gone,
    Kill,
    Prepare,
    Ready,
    ToForkServer,
)
from oncue.worker.isolation.output import Output

_FULL_S: Final = 0.005
_LEAVE_S: Final = 2.0
_decode: Final = msgspec.json.Decoder(FromForkServer).decode


class IsolationFailed(Exception):
    """A run could not be given a process."""


class RunProcess:
    """A process of its own, as the worker sees it."""

    def __init__(self, number: int, connection: socket.socket, output: Output, kill: Callable[[int], None]) -> None:
        self.connection = connection
        self.output = output
        self.pid = 0
        self.gone: asyncio.Future[Gone] = asyncio.get_running_loop().create_future()
        """How it ended."""
        self._number = number
        self._kill = kill

    def kill(self) -> None:
        """End it and what it started, now."""
        if not self.gone.done():
            self._kill(self._number)


class _Server:
    """One life of the fork server."""

    def __init__(self, control: socket.socket, child: "subprocess.Popen[bytes]") -> None:
        self.control = control
        self.child = child
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.forks: dict[int, asyncio.Future[int]] = {}
        self.processes: dict[int, RunProcess] = {}

    def hear(self, message: FromForkServer) -> None:
        """Take note of what the fork server says."""
        match message:
            case Ready(error=None):
                self.ready.set_result(None)
            case Ready(error=error):
                _fail(self.ready, f"a process for runs cannot import the tasks: {error}")
            case Forked(number=number, pid=pid, error=None):
                forked = self.forks.pop(number, None)
                if forked is not None and not forked.done():
                    forked.set_result(pid)
            case Forked(number=number, error=error):
                self.processes.pop(number, None)
                if number in self.forks:
                    _fail(self.forks.pop(number), str(error))
            case Gone(number=number) as gone:
                process = self.processes.pop(number, None)
                if process is not None:
                    process.gone.set_result(gone)

    def give_up(self, why: str) -> None:
        """Tell all who wait for something that it will not come."""
        _fail(self.ready, why)
        for forked in self.forks.values():
            _fail(forked, why)
        for process in self.processes.values():
            _fail(process.gone, why)
        self.forks.clear()
        self.processes.clear()


class WarmProcess:
    """Makes processes for isolated runs; to be used on the worker's event loop only."""

    def __init__(self, targets: tuple[str, ...], where: Settings, log_level: str) -> None:
        """Prepare; nothing is started.

        Args:
            targets: What the worker was pointed at.
            where: The server, which runs call too.
            log_level: Of the least important events that are logged.
        """
        self._prepare = Prepare(targets, where.api_url, where.secret_key, log_level)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._server: _Server | None = None

    def warm_up(self) -> None:
        """Start the fork server, where it is not there, so that the first run need not wait for its imports."""
        if sys.platform != "linux":
            telemetry.event("isolation.unavailable", system=sys.platform)
        elif self._server is None:
            self._server = self._start()

    async def fork(self, size: Size) -> RunProcess:
        """Make a process.

        Raises:
            IsolationFailed: There is none; says why.
        """
        self.warm_up()
        server = self._server
        assert server is not None
        await asyncio.shield(server.ready)
        number = next(self._numbers)
        with contextlib.ExitStack() as opened:
            try:
                ours, theirs = map(opened.enter_context, socket.socketpair())
                output = Output()
            except OSError as error:
                raise IsolationFailed(f"no process could be made: {error}; raise the limit of open files") from error
            opened.callback(output.abandon)
            process = RunProcess(number, ours, output, self.kill)
            forked = server.forks[number] = self._loop.create_future()
            server.processes[number] = process
            try:
                await self._send(server, Fork(number, size.cpus, size.memory_bytes), [theirs.fileno(), *output.ends()])
                process.pid = await forked
            except BaseException:
                self._give_up(server, number)
                raise
            opened.pop_all()
        theirs.close()
        output.hand_over()
        return process

    def _give_up(self, server: _Server, number: int) -> None:
        """Forget a process that is not wanted any more, and end it where it was asked for."""
        self.kill(number)
        server.forks.pop(number, None)
        server.processes.pop(number, None)

    def kill(self, number: int) -> None:
        """End a process and what it started, now."""
        if self._server is None:
            return
        try:
            self._server.control.send(msgspec.json.encode(Kill(number)))
        except BlockingIOError:
            self._loop.call_later(_FULL_S, self.kill, number)
        except OSError:
            # It has died, and its processes with it; that is noticed where it is listened to.
            return

    async def close(self) -> None:
        """End the fork server and every process."""
        server, self._server = self._server, None
        if server is None:
            return
        self._loop.remove_reader(server.control)
        server.control.close()
        server.give_up("the worker stops")
        try:
            await asyncio.to_thread(server.child.wait, _LEAVE_S)
        except subprocess.TimeoutExpired:
            server.child.kill()
            await asyncio.to_thread(server.child.wait)

    def _start(self) -> _Server:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise IsolationFailed(f"the process that makes others could not be started: {error}") from error
        with theirs:
            child = subprocess.Popen(  # noqa: S603 - this package's own module
                [sys.executable, "-m", "oncue.worker.isolation.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        server = _Server(ours, child)
        ours.send(msgspec.json.encode(self._prepare))
        self._loop.add_reader(ours, self._hear, server)
        return server

    async def _send(self, server: _Server, message: ToForkServer, files: list[int]) -> None:
        data = msgspec.json.encode(message)
        while True:
            try:
                socket.send_fds(server.control, [data], files)
            except BlockingIOError:
                # Hundreds of forks are under way; each takes some milliseconds.
                await asyncio.sleep(_FULL_S)
            except OSError as error:
                raise IsolationFailed(f"the process that makes others is gone: {error}") from error
            else:
                return

    def _hear(self, server: _Server) -> None:
        try:
            data = server.control.recv(MAX_PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died(server)
        else:
            server.hear(_decode(data))

    def _died(self, server: _Server) -> None:
        """Take note that the fork server has ended by itself, and its processes with it; the next starts another."""
        self._loop.remove_reader(server.control)
        server.control.close()
        if self._server is server:
            self._server = None
        for process in server.processes.values():
            if process.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        telemetry.event("isolation.died", pid=server.child.pid, runs=len(server.processes))
        server.give_up("the process that makes others has died")
        server.child.poll()


def _fail(future: "asyncio.Future[Any]", why: str) -> None:
    if not future.done():
        future.set_exception(IsolationFailed(why))
        # Where nobody asks any more, that is no fault to report.
        future.exception()
