"""Heartbeat: tell the server that the worker is alive, and so are all its runs.

On a thread of its own with a connection of its own, so that a task which blocks the event loop does not cost the lease.
One beat per process, whatever it runs. A worker that was silent for longer than its lease (stopped, asleep, cut off)
may have lost its runs: it takes no new ones until the server has told it; only the server knows.

Life of a run, this module's part::

    heartbeat -> engine/workers.beat -> the lease holds | unknown -> worker/supervisor stops the runs, announces anew
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec
import urllib3

from oncue import telemetry
from oncue.protocol.errors import ApiError, ConnectionFailed, ServerError
from oncue.protocol.machines import SIZES
from oncue.protocol.work import Heartbeat, HeartbeatResponse, TooLarge, Welcome
from oncue.sdk.settings import Settings
from oncue.worker.outage import Outage

_OK: Final = 200
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
"""A clock that nobody sets and that goes on while a laptop sleeps, where there is one."""


class HeartbeatThread:
    """The heart of a worker process."""

    def __init__(self, where: Settings, unknown: Callable[[str], None]) -> None:
        """Prepare; ``start`` sets it beating.

        Args:
            where: The server.
            unknown: Called on the event loop with a worker id that the server does not know.
        """
        self._where = where
        self._unknown = unknown
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._outage = Outage("heartbeat.failed")
        self._worker_id: str | None = None
        self._interval_s = self._lease_s = 0.0
        self._heard_at_s = 0.0
        self._too_large: list[TooLarge] = []
        self._thread = threading.Thread(target=self._run, name="oncue-heartbeat", daemon=True)

    @property
    def is_suspect(self) -> bool:
        """Whether the lease may have run out without our knowing."""
        return _now_s() - self._heard_at_s > self._lease_s

    def start(self, worker_id: str, welcome: Welcome) -> None:
        """Beat for an identity that has just been announced, from now on."""
        self._interval_s, self._lease_s = welcome.heartbeat_ms / 1000, welcome.lease_ms / 1000
        self._heard_at_s = _now_s()
        self._worker_id = worker_id
        if not self._thread.is_alive():
            self._thread.start()

    def pause(self) -> None:
        """Beat for nobody: there is no identity now."""
        self._worker_id = None

    def stop(self) -> None:
        """Stop for good; does not wait for a beat that is under way."""
        self._stopped.set()

    def _run(self) -> None:
        # Retries are ours, so that every beat asks for the lease of its own moment.
        with urllib3.PoolManager(maxsize=1, retries=False) as connections:
            pause_s = self._interval_s
            while not self._stopped.wait(pause_s):
                pause_s = self._beat(connections)

    def _beat(self, connections: urllib3.PoolManager) -> float:
        """Beat once; return the seconds until the next."""
        worker_id, sent_at_s = self._worker_id, _now_s()
        if worker_id is None:
            return self._interval_s
        silent_s = sent_at_s - self._heard_at_s
        if silent_s > self._lease_s and not self._outage.lasts:
            telemetry.event("lease.doubted", worker_id=worker_id, silent_ms=round(silent_s * 1000))
        try:
            answer = self._send(connections, worker_id)
        except ApiError as error:
            return min(self._interval_s, self._outage.failed(error, worker_id=worker_id))
        self._outage.over()
        if worker_id == self._worker_id:
            self._tell_too_large(answer.too_large)
            if answer.known:
                self._heard_at_s = sent_at_s
            else:
                self._worker_id = None
                self._tell(worker_id)
        return self._interval_s

    def _send(self, connections: urllib3.PoolManager, worker_id: str) -> HeartbeatResponse:
        try:
            response = connections.request(
                "POST",
                f"{self._where.api_url}/api/v1/work/heartbeat",
                body=msgspec.json.encode(Heartbeat(worker_id)),
                headers={"Authorization": f"Bearer {self._where.secret_key}", "Content-Type": "application/json"},
                timeout=max(1.0, self._lease_s / 3),
            )
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionFailed(f"no answer from {self._where.api_url} ({error})") from error
        if response.status != _OK:
            raise ServerError(f"the server answered the heartbeat with {response.status}", status=response.status)
        try:
            return msgspec.json.decode(response.data, type=HeartbeatResponse)
        except msgspec.MsgspecError as error:
            raise ServerError(f"the answer to the heartbeat cannot be read: {error}") from error

    def _tell_too_large(self, found: list[TooLarge]) -> None:
        """Log what no worker is large enough for, once for as long as that lasts."""
        for each in found:
            if each not in self._too_large:
                size = str(SIZES[each.machine]) if each.machine in SIZES else each.machine
                telemetry.event(
                    "machine.too_large", task=each.task, machine=each.machine, needs=size, largest_worker=each.largest
                )
        self._too_large = found

    def _tell(self, worker_id: str) -> None:
        try:
            self._loop.call_soon_threadsafe(self._unknown, worker_id)
        except RuntimeError:  # the loop is closed: the worker has gone
            self._stopped.set()


def _now_s() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
