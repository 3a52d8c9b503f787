"""Driver: the side of a peer's measurement that its own interpreter executes.

``python -m bench.peers.<name>_peer MODE [COUNT]`` with MODE one of setup, batches, lone and work. Needs the standard
library only. What was measured is written to standard output as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Final, Protocol

DSN: Final = "BENCH_DSN"
"""The environment variable that names the peer's database."""

_BATCH: Final = 1_000
_PACE_S: Final = 0.05


class Peer(Protocol):
    """What a task queue must be able to do; its task stamps the number that it is given."""

    async def open(self) -> None:
        """Connect as a caller."""

    async def close(self) -> None:
        """Disconnect."""

    async def setup(self) -> None:
        """Create the schema."""

    async def one(self, sent: float) -> None:
        """Trigger one task."""

    async def many(self, sent: Sequence[float]) -> None:
        """Trigger a batch of tasks in the way the peer has for that."""

    async def work(self) -> None:
        """Be the worker process until it is killed."""


def dsn() -> str:
    """Return the DSN of the peer's database."""
    return os.environ[DSN]


def run(peer: Peer) -> None:
    """Do what the command line says."""
    mode, *rest = sys.argv[1:]
    if mode == "work":
        asyncio.run(peer.work())
    else:
        print(json.dumps(asyncio.run(_call(peer, mode, int(rest[0]) if rest else 0))))


async def _call(peer: Peer, mode: str, count: int) -> list[float]:
    await peer.open()
    try:
        match mode:
            case "setup":
                await peer.setup()
                return []
            case "batches":
                return await _batches(peer, count)
            case "lone":
                return await _lone(peer, count)
            case _:
                raise SystemExit(f"mode {mode!r} is not known; expected setup, batches, lone or work")
    finally:
        await peer.close()


async def _batches(peer: Peer, count: int) -> list[float]:
    """Return the seconds of each call."""
    seconds = []
    for start in range(0, count, _BATCH):
        began = time.perf_counter()
        await peer.many([time.time()] * min(_BATCH, count - start))
        seconds.append(time.perf_counter() - began)
    return seconds


async def _lone(peer: Peer, count: int) -> list[float]:
    """Return the seconds of each call, 20 a second."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await peer.one(time.time())
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, began + _PACE_S - time.perf_counter()))
    return seconds
