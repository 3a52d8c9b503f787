"""Event streams: server-sent events, read on and on over connections that may break; without any I/O.

Source: wire contract §1.3, §6.4.

Life of a run, this module's part::

    streams.read, received -> EventStream -> connections.pieces -> EventStream.take -> values
"""

import random
import re
from typing import Any, Final
from urllib.parse import quote

import msgspec

from oncue.sdk import execution, flows, requests, retrying, settings
from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.requests import HttpRequest
from oncue.sdk.retrying import Policy

_ENDLESS: Final = Policy(attempts=1_000_000_000, first_s=0.1, factor=2.0, longest_s=5.0, jitter=True)
_END: Final = re.compile(rb"\r?\n\r?\n")


class EventStream:
    """A stream of a run, and how far it was read."""

    def __init__(self, run_id: str, key: str, *, latest: bool = False, is_input: bool = False) -> None:
        """Begin before the first chunk.

        Args:
            run_id: Whose.
            key: Which.
            latest: Begin with the next chunk that comes instead.
            is_input: It is made of what the run is sent.
        """
        folder = f"/realtime/v1/streams/{quote(run_id, safe='')}{'/input' if is_input else ''}"
        self._path = f"{folder}/{quote(key, safe='')}"
        self._latest = latest
        self._last_id: str | None = None
        self._rest = b""
        self._failures = 0
        # An address at which nobody has ever answered is more likely a wrong one; but a run has a server.
        self._is_patient = execution.current.get() is not None
        self._where = settings.current()

    def request(self) -> HttpRequest:
        """Return the request that reads on."""
        headers = {"Accept": "text/event-stream"}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        elif self._latest:
            headers["X-Trigger-Stream-Start"] = "latest"
        self._rest = b""
        call = requests.Call("GET", self._path, lambda _: None, keyed=False, headers=headers)
        return requests.http_request(call, self._where)

    def take(self, piece: bytes) -> list[Any]:
        """Return the values of the events that a piece completes."""
        self._failures, self._is_patient = 0, True
        *whole, self._rest = _END.split(self._rest + piece)
        return [value for event in whole for value in self._values(event)]

    def pause_after(self, reply: Answer | NoAnswer) -> float:
        """Return how many seconds to wait before reading on.

        Raises:
            ApiError: That would not help.
        """
        self._failures += 1
        self._is_patient |= isinstance(reply, Answer)
        policy = _ENDLESS if self._is_patient else retrying.JSON_CALLS
        draw = random.random()  # noqa: S311 - spreads load
        wait = retrying.wait_before_retry(reply, self._failures, policy, draw)
        if wait is None:
            raise flows.failure(reply, self._where)
        return wait

    def _values(self, event: bytes) -> list[Any]:
        """Return the value of an event; none of a comment, nor of one that only says where reading began."""
        data: list[bytes] = []
        for line in event.splitlines():
            name, _, text = line.partition(b":")
            text = text.removeprefix(b" ")
            if name == b"id":
                self._last_id = text.decode()
            elif name == b"data":
                data.append(text)
        if not data:
            return []
        document = b"\n".join(data)
        try:
            return [msgspec.json.decode(document)]
        except msgspec.DecodeError:
            return [document.decode(errors="replace")]
