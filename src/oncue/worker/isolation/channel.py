"""Channel: the end of the connection to the worker that the process of an isolated run holds.

Messages are sent by whichever thread has something to say, and arrive on a thread of their own, so that the run can be
stopped while its code holds the event loop or the main thread. Without the worker there is nothing to run for: the
process ends when the connection does.
"""

import os
import queue
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Final

import msgspec

from oncue.worker.isolation.messages import LENGTH, Ask, Begin, FromProcess, Reply, Settled, StopNow, ToProcess, framed

WORKER_GONE: Final = 111
"""Exit code of a process whose worker is no longer there to read it."""

DEAF: Final = 112
"""Exit code of a process that cannot hear its worker."""

_decoder: Final[msgspec.json.Decoder[ToProcess]] = msgspec.json.Decoder(ToProcess)


class Channel:
    """The connection; every method may be called on every thread."""

    def __init__(self, connection: socket.socket) -> None:
        """Take a connected socket, which blocks."""
        self._connection = connection
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._senders: set[int] = set()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()

    def first(self) -> Begin:
        """Wait for what the process is for; before ``listen``."""
        message = self._receive()
        assert isinstance(message, Begin), message
        return message

    def listen(self, heard: Callable[[Settled | StopNow], None]) -> None:
        """Pass on what the worker says from now on, on a thread of its own."""
        threading.Thread(target=self._listen, args=(heard,), name="oncue-channel", daemon=True).start()

    def send(self, message: FromProcess) -> None:
        """Say something."""
        data = framed(message)
        thread_id = threading.get_ident()
        self._senders.add(thread_id)
        with self._sending:
            try:
                self._connection.sendall(data)
            except OSError:
                os._exit(WORKER_GONE)
        self._senders.discard(thread_id)

    def is_used_by(self, thread_id: int) -> bool:
        """Whether a thread is in the middle of a message, which must not be broken off."""
        return thread_id in self._senders

    def ask(self, question: Ask) -> str | None:
        """Ask for a call's name, and wait for it; None where the run must not go on."""
        with self._asking:
            self.send(question)
            return self._replies.get().call_key

    def _listen(self, heard: Callable[[Settled | StopNow], None]) -> None:
        try:
            self._hear(heard)
        except BaseException:  # noqa: BLE001 - a process that does not listen would wait for ever; such as out of memory
            traceback.print_exc()
            os._exit(DEAF)

    def _hear(self, heard: Callable[[Settled | StopNow], None]) -> None:
        while True:
            match self._receive():
                case Reply() as reply:
                    self._replies.put(reply)
                case Settled() | StopNow() as news:
                    heard(news)
                case Begin():
                    raise AssertionError("a process has one run")

    def _receive(self) -> ToProcess:
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        return _decoder.decode(self._read(length))

    def _read(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                count = self._connection.recv_into(view)
            except OSError:
                count = 0
            if not count:
                os._exit(WORKER_GONE)
            view = view[count:]
        return bytes(data)
