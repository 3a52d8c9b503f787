"""Logger: lines that are attached to the run, with level, time and fields.

They are stored within a second and read with ``GET /api/v1/runs/{run}/events``, whatever becomes of the attempt; the
worker's own log has them too, as events of the standard logger ``oncue.task``. Outside of a run they go there alone.

Life of a run, this module's part::

    user code -> logger.info -> Execution.log -> worker/log_shipping
"""

import logging
from typing import Any, Final

from oncue.protocol.logs import Level
from oncue.sdk import execution

TASK_LOGGER: Final = "oncue.task"
"""The standard logger that has the lines too."""

_log: Final = logging.getLogger(TASK_LOGGER)
_LEVELS: Final[dict[Level, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def debug(message: str, /, **fields: Any) -> None:  # noqa: ANN401 - whatever the codec takes
    """Attach a line for those who look closely; see ``info``."""
    _write("debug", message, fields)


def info(message: str, /, **fields: Any) -> None:  # noqa: ANN401 - whatever the codec takes
    """Attach a line to the run that the calling code belongs to. Never raises for what it is given.

    Args:
        message: At most 10,000 characters are kept.
        fields: Facts by name, as JSON; a value that has no JSON form is stored as its ``repr``. At most 64 KB together,
            else their names alone are kept.

    Example::

        logger.info("sent", to=payload.to, attempt=ctx.attempt.number)
    """
    _write("info", message, fields)


def warning(message: str, /, **fields: Any) -> None:  # noqa: ANN401 - whatever the codec takes
    """Attach a warning; see ``info``."""
    _write("warning", message, fields)


def error(message: str, /, **fields: Any) -> None:  # noqa: ANN401 - whatever the codec takes
    """Attach an error that does not end the run; see ``info``."""
    _write("error", message, fields)


def _write(level: Level, message: str, fields: dict[str, Any]) -> None:
    text = str(message)
    running = execution.current.get()
    if running is not None:
        running.log(level, text, fields)
    if _log.isEnabledFor(_LEVELS[level]):
        run = "" if running is None else f" run_id={running.context.run.id}"
        spelled = "".join(f" {name}={value!r}" for name, value in fields.items())
        _log.log(_LEVELS[level], "%s%s%s", text, run, spelled, extra={"fields": fields})
