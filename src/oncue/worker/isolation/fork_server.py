"""Fork server: a warm process that has imported the tasks, and makes a copy of itself for each isolated run.

Started by a worker as ``python -m oncue.worker.isolation.fork_server FD``; it has one thread and no event loop, so that
copies are sound. It is the parent of those processes: it holds them to their limits, hears of their deaths, and ends
them all, with what they have started, when the worker is gone.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from oncue import telemetry
from oncue.protocol.errors import SettingsError
from oncue.protocol.machines import Size
from oncue.sdk import settings
from oncue.sdk.task import Task
from oncue.worker import discovery
from oncue.worker.isolation import confinement, process, usage
from oncue.worker.isolation.confinement import Confined
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

_FILES: Final = 3
"""That come with a ``Fork``: the socket, standard output, standard error."""

_LOOK_MS: Final = 50
"""How often processes are looked at where the kernel does not hold them to their limits."""

_decode: Final = msgspec.json.Decoder(ToForkServer).decode


def main() -> int:
    """Import the tasks and serve until the worker is gone; return the exit code."""
    confinement.adopt_orphans()
    control = socket.socket(fileno=int(sys.argv[1]))
    prepare = _decode(control.recv(MAX_PACKET_BYTES))
    assert isinstance(prepare, Prepare), prepare
    logging.basicConfig(level=prepare.log_level, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    settings.configure(secret_key=prepare.secret_key, api_url=prepare.api_url)
    try:
        tasks = discovery.discover(prepare.targets)
    except SettingsError as error:
        control.send(msgspec.json.encode(Ready(str(error)[: MAX_PACKET_BYTES // 2])))
        return 2
    if threading.active_count() > 1:
        telemetry.event("isolation.threads", threads=[thread.name for thread in threading.enumerate()][1:])
    for stream in (sys.stdout, sys.stderr):
        # What imports have printed is printed once, and not by each copy.
        with contextlib.suppress(AttributeError, ValueError):
            stream.flush()
    gc.collect()
    # What is there now is never looked at by the copies' collectors, and so not copied by them.
    gc.freeze()
    server = _ForkServer(control, {task.id: task for task in tasks})
    server.send(Ready())
    server.serve()
    return 0


class _ForkServer:
    """The processes, by the number that the worker gave each."""

    def __init__(self, control: socket.socket, tasks: Mapping[str, Task[Any, Any]]) -> None:
        self._control = control
        self._tasks = tasks
        self._processes: dict[int, Confined] = {}
        self._cgroup = confinement.delegated_cgroup()
        self._woken, wakes = os.pipe()
        for end in (self._woken, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in process.WORKERS_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def send(self, message: FromForkServer) -> None:
        """Tell the worker."""
        with contextlib.suppress(OSError):  # the worker is gone, which is noticed where it is listened to
            self._control.send(msgspec.json.encode(message))

    def serve(self) -> None:
        """Do what the worker says until it is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        look_at_s = 0.0
        while True:
            is_watched = any(confined.is_watched for confined in self._processes.values())
            ready = dict(poll.poll(_LOOK_MS if is_watched else None))
            if self._woken in ready:
                os.read(self._woken, 4096)
            self._reap()
            now_s = time.monotonic()
            if now_s >= look_at_s:
                look_at_s = now_s + _LOOK_MS / 1000
                for confined in self._processes.values():
                    confined.look(now_s)
            if self._control.fileno() in ready and not self._hear():
                self._end_all()
                return

    def _end_all(self) -> None:
        for confined in self._processes.values():
            confined.kill()
        for confined in self._processes.values():
            os.waitpid(confined.pid, 0)
            confined.ended()
        self._processes.clear()
        self._end_orphans()

    def _end_orphans(self) -> None:
        """End what a run has started that has left its family and outlived it."""
        own = {confined.pid for confined in self._processes.values()}
        for pid in usage.children(os.getpid()):
            if pid not in own:
                confinement.kill_family(pid)

    def _hear(self) -> bool:
        """Do what the worker says; False where it is gone."""
        data, files, _, _ = socket.recv_fds(self._control, MAX_PACKET_BYTES, _FILES)
        if not data:
            return False
        match _decode(data):
            case Fork() as wanted:
                self._fork(wanted, files)
            case Kill(number=number):
                if number in self._processes:
                    self._processes[number].kill()
            case Prepare():
                raise AssertionError("the tasks are imported once")
        return True

    def _fork(self, wanted: Fork, files: list[int]) -> None:
        size = Size(wanted.cpus, wanted.memory_bytes)
        try:
            pid = os.fork()
        except OSError as error:
            self.send(Forked(wanted.number, error=f"no process could be made: {error}"))
        else:
            if not pid:
                self._become(files, size)
            self._processes[wanted.number] = Confined(pid, size, self._cgroup)
            self.send(Forked(wanted.number, pid))
        finally:
            for file in files:
                os.close(file)

    def _become(self, files: list[int], size: Size) -> None:
        """Be the copy: let go of what is the server's, and run what the worker says; never returns."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            self._control.close()
            connection, out, err = files
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            confinement.end_with_parent()
            confinement.adopt_orphans()
            if self._cgroup is None:
                confinement.limit_addresses(size)
            process.run(self._tasks, socket.socket(fileno=connection))
        except BaseException:  # noqa: BLE001 - whatever it is, this copy must not go on as a second fork server
            traceback.print_exc()
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while self._processes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number = next((number for number, confined in self._processes.items() if confined.pid == pid), None)
            if number is None:
                continue
            confined = self._processes.pop(number)
            self._end_orphans()
            self.send(Gone(number, os.waitstatus_to_exitcode(status), confined.ended()))


if __name__ == "__main__":
    sys.exit(main())
