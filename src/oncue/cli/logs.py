"""Logs: how the events of a server or a worker appear on standard error.

One line each. ``runs`` adds a line for each run that a worker starts and ends, made for the eyes of who develops.
"""

import logging
import sys
from typing import TYPE_CHECKING, Final

from oncue.cli import output, settings
from oncue.sdk.logger import TASK_LOGGER

if TYPE_CHECKING:
    from rich.text import Text

_DATED: Final = "%(asctime)s %(levelname)s %(message)s"
_MARKS: Final = {
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "out_of_time": ("✗", "red"),
    "cancelled": ("■", "bright_black"),
    "lost": ("↺", "yellow"),
    "handed_back": ("↺", "yellow"),
    "unloaded": ("…", "bright_black"),
}
"""How an attempt can end; see ``worker/executor``."""


def set_up(*, runs: bool = False) -> None:
    """Send events to standard error, from the level that ``ONCUE_LOG`` names.

    Args:
        runs: Show a line for each start and end of a run, and of the other events only what is out of the ordinary.

    Raises:
        SettingsError: ``ONCUE_LOG`` is no level.
    """
    level = logging.getLevelName(settings.log_level().upper())
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_DATED))
    if runs:
        handler = _RunLines(handler, level)
        logging.getLogger("oncue").setLevel(logging.DEBUG)
    logging.basicConfig(level=level, handlers=[handler])
    # Its lines repeat ours.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class _RunLines(logging.Handler):
    """Writes what happens to runs as short lines in colour, and passes on what else matters."""

    def __init__(self, others: logging.Handler, level: int) -> None:
        super().__init__()
        self._console = output.console(stderr=True)
        self._others = others
        self._least = max(level, logging.WARNING) if level > logging.DEBUG else level

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        from rich.text import Text

        fields: dict[str, object] = getattr(record, "fields", {})
        clock = Text().append(logging.Formatter().formatTime(record, "%H:%M:%S "), "bright_black")
        match getattr(record, "event", None):
            case "attempt.started":
                self._write(clock.append("▶ ", "cyan"), fields)
            case "attempt.ended":
                mark, colour = _MARKS[str(fields["outcome"])]
                self._write(clock.append(f"{mark} ", colour), fields)
            case "worker.announced":
                self._console.print(clock.append(f"● worker ready, tasks: {fields['tasks']}", "green"), soft_wrap=True)
            case None if record.name == TASK_LOGGER and record.levelno >= logging.INFO:
                colour = (
                    "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno > logging.INFO else "cyan"
                )
                self._console.print(clock.append("· ", colour).append(record.getMessage()), soft_wrap=True)
            case _ if record.levelno >= self._least:
                self._others.emit(record)

    def _write(self, line: "Text", fields: dict[str, object]) -> None:
        line.append(str(fields["task"]), "bold").append(f"  {fields['run_id']}", "bright_black")
        ran_ms = fields.get("ran_ms")
        if isinstance(ran_ms, int):
            line.append(f"  {output.duration(ran_ms)}")
        outcome = fields.get("outcome", "succeeded")
        if outcome != "succeeded":
            line.append(f"  {str(outcome).replace('_', ' ')}", _MARKS[str(outcome)][1])
        if fields.get("error"):
            first, *_ = str(fields["error"]).splitlines() or [""]
            line.append(f": {first}", "red")
        self._console.print(line, soft_wrap=True)
