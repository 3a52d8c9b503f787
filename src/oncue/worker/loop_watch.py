"""Loop watch: say which task held the event loop, where, and for how long.

An async task that computes or calls blocking code keeps every other run of the worker from going on. The loop ticks a
few times a second; a thread looks whether it does, and where it does not, at what the loop's thread is doing.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Final, NamedTuple

from oncue import telemetry
from oncue.worker.libraries import is_library
from oncue.worker.runs import HeldRun

TICK_S: Final = 0.25
BLOCKED_S: Final = 0.5
"""Shorter pauses happen on a busy machine without anybody's fault."""


class _Culprit(NamedTuple):
    """What was found on the loop's thread while the loop stood still."""

    task: str
    run_id: str
    place: str


class LoopWatch:
    """Watches the running event loop from ``start`` to ``stop``."""

    def __init__(self, runs: Mapping[str, HeldRun]) -> None:
        """Prepare.

        Args:
            runs: What is held, by run id, to name the run.
        """
        self._runs = runs
        self._loop = asyncio.get_running_loop()
        self._loop_thread_id = threading.get_ident()
        self._stopped = threading.Event()
        self._ticked_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick and to watch."""
        self._tick()
        threading.Thread(target=self._watch, name="oncue-loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Stop both."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._ticked_at_s = time.monotonic()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _watch(self) -> None:
        blocked_since_s, culprit = 0.0, None
        while not self._stopped.wait(TICK_S):
            ticked_at_s = self._ticked_at_s
            if culprit is not None and ticked_at_s != blocked_since_s:
                _report(culprit, ticked_at_s - blocked_since_s - TICK_S)
                culprit = None
            if culprit is None and time.monotonic() - ticked_at_s - TICK_S > BLOCKED_S:
                blocked_since_s, culprit = ticked_at_s, self._culprit()

    def _culprit(self) -> _Culprit | None:
        """Return what holds the loop; None where it is no task: the whole process stood still."""
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._loop_thread_id)  # noqa: SLF001 - documented, for debuggers like this
        if task is None or frame is None:
            return None
        held = next((run for run in list(self._runs.values()) if run.future is task), None)
        if held is None:
            return _Culprit(task.get_name(), "unknown", _place(frame))
        return _Culprit(held.task_id, held.run_id, _place(frame))


def _report(culprit: _Culprit, blocked_s: float) -> None:
    telemetry.event(
        "loop.blocked",
        task=culprit.task,
        run_id=culprit.run_id,
        at=culprit.place,
        blocked_ms=round(blocked_s * 1000),
    )


def _place(frame: FrameType) -> str:
    """Return the line in the innermost code that is not a library's."""
    found: FrameType | None = frame
    while found is not None and is_library(found.f_code.co_filename):
        found = found.f_back
    found = found or frame
    return f"{found.f_code.co_filename}:{found.f_lineno}"
