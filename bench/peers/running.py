"""Running: install a peer, drive it, and make its figures."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import click

from bench import figures, patience, stack, stamps, throughput
from bench.figures import Figure
from bench.measuring import BATCH, Bench
from bench.peers import driver

_ROOT: Final = Path(__file__).parent.parent.parent
_PATIENCE_S: Final = 120
_STOP_WITHIN_S: Final = 5


class _Kind(NamedTuple):
    packages: tuple[str, ...]
    most_runs: int
    """Tasks to drain at most: slow ones would take minutes."""


_KINDS: Final = {
    "pgqueuer": _Kind(("pgqueuer>=1.6,<2", "asyncpg"), 20_000),
    "procrastinate": _Kind(("procrastinate>=3.10,<4", "psycopg[binary,pool]"), 3_000),
}

NAMES: Final = tuple(_KINDS)
"""The peers that can be measured."""


class NotInstalled(Exception):
    """The peer's packages could not be installed."""


class _Peer(NamedTuple):
    name: str
    python: Path
    environment: Mapping[str, str]
    stamps: Path

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (str(self.python), "-m", f"bench.peers.{self.name}_peer", *arguments)


def measurement(name: str) -> Callable[[Bench], Awaitable[list[Figure]]]:
    """Return what measures a peer.

    Raises:
        UsageError: There is no such peer.
    """
    if name not in _KINDS:
        raise click.UsageError(f"--peers: {name!r} is not known; expected any of {', '.join(NAMES)}")

    async def measure(bench: Bench) -> list[Figure]:
        return await _measure(bench, name)

    return measure


async def _measure(bench: Bench, name: str) -> list[Figure]:
    """Measure batches without a worker, then their drain, then lone triggers at 20 a second."""
    bench.say("installing")
    python = await asyncio.to_thread(_installed, name)
    async with stack.database(bench.postgres, f"peer_{name}") as url:
        path = bench.postgres.folder / f"stamps-{name}"
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), driver.DSN: url, stamps.FILE: str(path)}
        peer = _Peer(name, python, environment, path)
        await _call(peer, "setup")
        runs = min(bench.scale.runs, _KINDS[name].most_runs) // BATCH * BATCH
        bench.say(f"{runs:,} tasks enqueued, then drained")
        calls = await _call(peer, "batches", str(runs))
        async with _worker(peer):
            await _until_started(peer, runs)
            first, *_, last = stamps.read(path)
            bench.say(f"{bench.scale.lone} lone triggers, 20 a second")
            await _call(peer, "lone", str(bench.scale.lone))
            await _until_started(peer, runs + bench.scale.lone)
    bench.say("oncue, right after it")
    own_calls, own_drain = await throughput.enqueue_and_drain(bench)
    lone = sorted(stamps.read(path))[-bench.scale.lone :]
    return [
        figures.rate(
            f"{name}.enqueue", "batches of 1,000, no worker", [runs / sum(calls)], against=f"{name}.oncue_enqueue"
        ),
        figures.rate(
            f"{name}.drain", "first start to last start", [(runs - 1) / (last.started - first.started)],
            against=f"{name}.oncue_drain",
        ),
        figures.spread(
            f"{name}.start", "lone trigger to start", [each.started - each.sent for each in lone],
            against="latency.start",
        ),
        figures.rate(f"{name}.oncue_enqueue", "oncue in the same minute", [bench.scale.runs / sum(own_calls)]),
        figures.rate(f"{name}.oncue_drain", "oncue in the same minute", [own_drain]),
    ]  # fmt: skip


def _installed(name: str) -> Path:
    """Return the interpreter of the peer's environment, which is made where it is missing.

    Raises:
        NotInstalled: uv is missing or failed.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oncue-bench" / name
    python = home / "bin" / "python"
    complete = home / "complete"
    packages = _KINDS[name].packages
    if complete.exists() and complete.read_text(encoding="utf-8") == " ".join(packages):
        return python
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise NotInstalled("there is no uv to install it with; run `make setup`")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalled(" / ".join(done.stderr.strip().splitlines()[-3:]))
    complete.write_text(" ".join(packages), encoding="utf-8")
    return python


async def _call(peer: _Peer, *arguments: str) -> list[float]:
    """Run the peer's caller; return the seconds that its calls took."""
    process = await asyncio.create_subprocess_exec(
        *peer.command(*arguments),
        env=peer.environment, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_PATIENCE_S):
            told, failed = await process.communicate()
    finally:
        await _end(process)
    if process.returncode:
        raise RuntimeError(f"{peer.name} {arguments[0]}: {' / '.join(failed.decode().strip().splitlines()[-3:])}")
    seconds: list[float] = json.loads(told)
    return seconds


@asynccontextmanager
async def _worker(peer: _Peer) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *peer.command("work"),
        env=peer.environment, cwd=_ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0,
    )  # fmt: skip
    try:
        yield
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()


async def _until_started(peer: _Peer, count: int) -> None:
    async def are_started() -> bool:
        return stamps.count(peer.stamps) >= count

    await patience.until(are_started)
