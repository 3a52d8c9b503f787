"""Realtime: how soon a change of a run reaches all who subscribe to it, on two servers.

Subscribers are held requests, half of them on each server. The run's metadata is changed through the first server; what
is measured is from just before that call until the answer of each subscriber arrives.
"""

import asyncio
import re
import secrets
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp

from bench import figures, stack
from bench.figures import Figure, Promise
from bench.measuring import Bench
from bench.tasks import noop
from oncue.cli.stack import Place, served

_PROMISED: Final = Promise(200, at_least=False)
_OTHERS: Final = 20
"""Runs that most subscribers follow while one run has few."""
_FEW: Final = 10
_PAUSE_S: Final = 0.5
_SETTLED_S: Final = 3.0
_VERSION: Final = {"x-trigger-electric-version": "1.0.0-beta.1"}


class _Subscriber(asyncio.Protocol):
    """A client that is held until its run changes; it notes when an answer arrives and reads it later.

    A full HTTP client would take longer for a thousand answers than the servers.
    """

    def __init__(self, run: str, key: str) -> None:
        self._path, self._key = f"/realtime/v1/runs/{run}", key
        self._query = {"offset": "-1"}
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._arrived: asyncio.Future[float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        moment = time.perf_counter()
        self._answer += data
        head, _, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: ([0-9]+)", head)
        is_whole = length is not None and len(body) == int(length[1])
        if is_whole and self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(moment)

    def ask(self) -> asyncio.Future[float]:
        """Send a request; the future is done when its answer arrives, with the moment."""
        self._take()
        assert self._transport is not None
        self._arrived = asyncio.get_running_loop().create_future()
        headers = {"host": "bench", "authorization": f"Bearer {self._key}", **_VERSION}
        lines = [f"GET {self._path}?{urlencode(self._query)} HTTP/1.1", *(f"{a}: {b}" for a, b in headers.items())]
        self._transport.write("\r\n".join([*lines, "", ""]).encode())
        return self._arrived

    def _take(self) -> None:
        if not self._answer:
            return
        status, *lines = self._answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        if " 200 " not in status:
            raise RuntimeError(f"a subscriber was answered {status}")
        told = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self._query = {
            "offset": told["electric-offset"],
            "handle": told["electric-handle"],
            "live": "true",
            "cursor": told.get("electric-cursor", ""),
        }
        self._answer = b""


async def measure(bench: Bench) -> list[Figure]:
    """Measure the delay for a run with many subscribers, and for one with few among many of others."""
    async with AsyncExitStack() as exits:
        opened = await exits.enter_async_context(stack.opened(bench.postgres, "realtime"))
        place = Place(bench.postgres.folder, "127.0.0.1", 0, opened.server.key)
        other = await exits.enter_async_context(served(place, {"DATABASE_URL": opened.url, "ONCUE_LOG": "error"}))
        session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {opened.server.key}"})
        await exits.enter_async_context(session)
        urls, key, count = (opened.server.url, other.url), opened.server.key, bench.scale.subscribers
        bench.say(f"{count} subscribers of one run, on two servers")
        run = (await noop.trigger(0)).id
        crowded, last = await _delays(
            session, urls[0], run, await _subscribed(urls, key, [run] * count), bench.scale.changes // 4
        )
        bench.say(f"{_FEW} subscribers of a run beside {count} of others")
        others = [(await noop.trigger(0)).id for _ in range(_OTHERS)]
        for subscriber in await _subscribed(urls, key, [others[number % _OTHERS] for number in range(count)]):
            # Nobody waits for the answers: nothing of theirs changes.
            subscriber.ask()
        run = (await noop.trigger(0)).id
        lone, _ = await _delays(session, urls[0], run, await _subscribed(urls, key, [run] * _FEW), bench.scale.changes)
    return [
        figures.spread("realtime.few", f"change to answer, {_FEW} subscribers beside many of other runs", lone),
        figures.spread("realtime.many", "change to answer, each of all subscribers of one run", crowded),
        figures.spread("realtime.last", "change to the last answer of them", last, promise=_PROMISED),
    ]


async def _subscribed(urls: tuple[str, str], key: str, runs: list[str]) -> list[_Subscriber]:
    """Return subscribers that have their snapshot, one for each run named, by turns on each server."""
    made = []
    for number, run in enumerate(runs):
        url = urlsplit(urls[number % 2])
        assert url.hostname is not None
        assert url.port is not None
        loop = asyncio.get_running_loop()
        _, subscriber = await loop.create_connection(partial(_Subscriber, run, key), url.hostname, url.port)
        await subscriber.ask()
        made.append(subscriber)
    return made


async def _delays(
    session: aiohttp.ClientSession, url: str, run: str, subscribers: list[_Subscriber], changes: int
) -> tuple[list[float], list[float]]:
    """Return the delays of all changes in seconds, and of each change the longest."""
    found: list[float] = []
    last: list[float] = []
    for _ in range(changes):
        held = [subscriber.ask() for subscriber in subscribers]
        # Until the servers hold them all; before the first, until they have looked for what others may have changed.
        await asyncio.sleep(_PAUSE_S if found else _SETTLED_S)
        began = time.perf_counter()
        body = {"metadata": {"change": secrets.token_hex(4)}}
        async with session.put(f"{url}/api/v1/runs/{run}/metadata", json=body) as response:
            response.raise_for_status()
        delays = [moment - began for moment in await asyncio.gather(*held)]
        if min(delays) < 0:
            raise RuntimeError("a subscriber was answered before anything changed")
        found += delays
        last.append(max(delays))
    return found, last
