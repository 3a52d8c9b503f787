"""What tasks and tests tell each other through files of the test's own folder."""

import asyncio
import os
import threading
from pathlib import Path


def note(path: str, text: str) -> None:
    """Add a line to a ledger; lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)


def lines(path: Path) -> list[str]:
    """Return what was noted so far."""
    return path.read_text().splitlines() if path.exists() else []


async def opened(gate: str) -> None:
    """Wait until a file is there."""
    while not Path(gate).exists():
        await asyncio.sleep(0.01)


def opened_blocking(gate: str) -> None:
    """Wait on this thread until a file is there."""
    never = threading.Event()
    while not Path(gate).exists():
        never.wait(0.01)
