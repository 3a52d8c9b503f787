"""Signals: commands that run until Ctrl-C, and stop in an orderly way."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Any


def run_until_stopped(work: Coroutine[Any, Any, None], *, serves: bool = False) -> bool:
    """Run to the end, or cancel at the first Ctrl-C or SIGTERM; further ones change nothing.

    What is cancelled has all the time it needs for its ``finally`` blocks.

    Args:
        work: What to do.
        serves: Use the quicker event loop where there is one; it cannot put a child into a process group.

    Returns:
        Whether it came to its end by itself.
    """
    with asyncio.Runner(loop_factory=_quick_loop() if serves else None) as runner:
        return runner.run(_until_stopped(work))


async def _until_stopped(coroutine: Coroutine[Any, Any, None]) -> bool:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows' loops take no handlers; there Ctrl-C interrupts the loop.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, told.set)
    work = asyncio.ensure_future(coroutine)
    waits = asyncio.ensure_future(told.wait())
    await asyncio.wait((work, waits), return_when=asyncio.FIRST_COMPLETED)
    waits.cancel()
    if work.done():
        work.result()
        return True
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    return False


def _quick_loop() -> Any:  # noqa: ANN401 - a function that makes a loop, or None for asyncio's own
    if sys.platform == "win32":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
