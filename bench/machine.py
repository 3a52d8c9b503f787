"""Machine: where and on what the figures were taken, without which they mean nothing."""

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import psutil  # type: ignore[import-untyped]

import oncue
from bench.stack import Postgres

_ROOT: Final = Path(__file__).parent.parent
_SETTINGS: Final = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level", "shared_buffers",
    "autovacuum_naptime",
)  # fmt: skip


class Machine(msgspec.Struct, frozen=True):
    """Facts of one run of the benchmarks."""

    taken_at: datetime.datetime
    commit: str
    changed: bool
    """Whether files differed from the commit."""
    oncue: str
    python: str
    system: str
    cores: int
    memory_mb: int
    load: tuple[float, float, float]
    """Processes that wanted a core before it began, over 1, 5 and 15 minutes."""
    postgres: str
    settings: dict[str, str]


async def facts(postgres: Postgres) -> Machine:
    """Return the facts of now."""
    connection = await asyncpg.connect(postgres.url)
    try:
        version = await connection.fetchval("select current_setting('server_version')")
        settings = {name: await connection.fetchval("select current_setting($1)", name) for name in _SETTINGS}
    finally:
        await connection.close()
    return Machine(
        taken_at=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        commit=_git("rev-parse", "--short", "HEAD") or "unknown",
        changed=bool(_git("status", "--porcelain", "--untracked-files=no")),
        oncue=oncue.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_mb=psutil.virtual_memory().total // 1_000_000,
        load=os.getloadavg(),
        postgres=version,
        settings=settings,
    )


def _git(*arguments: str) -> str:
    try:
        told = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.stdout.strip()
