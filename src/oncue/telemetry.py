"""Telemetry: the events that oncue logs, and nothing else.

An event is ``noun.verb_past`` with facts as fields; the catalogue below is the whole list, and ``event`` refuses a
name that is not in it. Events go to the standard logger ``oncue``, with the fields in ``extra["fields"]`` for
structured handlers and spelled out in the message for people.
"""

import logging
import traceback
from pathlib import Path
from typing import Final

_log: Final = logging.getLogger("oncue")
_FRAMES: Final = 8

CATALOGUE: Final[dict[str, tuple[int, str]]] = {
    "announce.failed": (logging.WARNING, "a worker could not announce itself; it tries again"),
    "attempt.ended": (logging.DEBUG, "a worker has executed a run, to whatever end"),
    "attempt.failed": (logging.INFO, "a run's attempt raised; says whether and when it is retried"),
    "attempt.lost": (logging.WARNING, "an outcome was refused: the lease was no longer the worker's"),
    "attempt.started": (logging.DEBUG, "a worker begins to execute a run"),
    "batch.aborted": (logging.WARNING, "a batch was given up before all its items were there"),
    "bulk.failed": (logging.WARNING, "a group of runs of a bulk action could not be gone through; it is tried again"),
    "bulk.completed": (logging.INFO, "all runs of a bulk action have been gone through"),
    "call.differed": (logging.WARNING, "a run started again called with another payload; the first one counts"),
    "claim.failed": (logging.WARNING, "a worker could not ask for runs; it tries again"),
    "database.lost": (logging.WARNING, "a connection to PostgreSQL broke; it is made again"),
    "database.restored": (logging.INFO, "PostgreSQL answers again"),
    "document.held_up": (logging.WARNING, "a payload or output could not be fetched or stored; the run tries again"),
    "heartbeat.failed": (logging.WARNING, "a worker's heartbeat did not arrive"),
    "hook.failed": (logging.WARNING, "a hook raised after its run had ended, which changes nothing"),
    "invariant.violated": (logging.ERROR, "a counter differed from the rows it stands for and was corrected: a bug"),
    "lease.doubted": (logging.WARNING, "a worker was silent for longer than its lease; it takes no runs for now"),
    "lease.expired": (logging.WARNING, "a worker was silent too long; its runs go back in line"),
    "isolation.died": (
        logging.WARNING,
        "the process that makes those of isolated runs ended by itself, and they with it; the next run starts another",
    ),
    "isolation.threads": (
        logging.WARNING,
        "a module of tasks starts threads when it is imported, which the processes of isolated runs do not have",
    ),
    "isolation.unavailable": (
        logging.WARNING,
        "tasks ask for processes of their own, which there are on Linux only: they share the worker's",
    ),
    "isolation.ungrouped": (
        logging.WARNING,
        "a run's process could not be given a control group; its memory and CPU time are looked at instead",
    ),
    "leave.failed": (logging.WARNING, "a worker could not say good-bye; its runs come back when its lease runs out"),
    "limit.reached": (
        logging.WARNING,
        "an environment sent more than its rate limit allows and was told when to come back; said once a minute",
    ),
    "logs.dropped": (
        logging.WARNING,
        "lines that tasks logged were given up: too many, or the server will not have them",
    ),
    "logs.failed": (logging.WARNING, "a worker could not bring the lines that tasks logged; it tries again"),
    "loop.blocked": (logging.WARNING, "a task held the event loop"),
    "machine.too_large": (
        logging.WARNING,
        "runs of a task are in line for a machine that is larger than every worker that could have them",
    ),
    "metadata.dropped": (logging.WARNING, "a change of metadata could not be stored and was given up"),
    "metadata.failed": (logging.WARNING, "a worker could not store metadata; it tries again"),
    "migration.applied": (logging.INFO, "a migration ran"),
    "notify.failed": (
        logging.WARNING,
        "a server could not tell the others what changed; it tries again, and lets them look for what they missed",
    ),
    "objects.failed": (logging.ERROR, "the object store does not answer or refuses; what it was to do is tried again"),
    "outcomes.failed": (logging.WARNING, "a worker could not report; it tries again"),
    "postgres.started": (logging.INFO, "the embedded PostgreSQL is up"),
    "postgres.stopped": (logging.INFO, "the embedded PostgreSQL is down"),
    "process.killed": (logging.WARNING, "the process of a run that was told to stop did not, and was killed"),
    "queue.overridden": (logging.INFO, "somebody set a limit for a queue that wins over the code's"),
    "queue.paused": (logging.INFO, "somebody paused a queue: no run of it is handed out"),
    "queue.reset": (logging.INFO, "somebody let the code's limit of a queue hold again"),
    "queue.resumed": (logging.INFO, "somebody resumed a queue"),
    "realtime.failed": (logging.WARNING, "changed runs could not be read for subscribers; it is tried again"),
    "run.stopped": (logging.INFO, "a worker stopped a run: cancelled, or its lease was lost"),
    "runs.forgotten": (logging.INFO, "runs that were too old to be kept were deleted, with their objects"),
    "runs.unloaded": (
        logging.INFO,
        "a worker let go of runs that wait, for want of memory; they start again when woken",
    ),
    "server.started": (logging.INFO, "the server accepts requests"),
    "server.stopped": (logging.INFO, "the server no longer accepts requests"),
    "request.failed": (logging.ERROR, "a request ended in an unexpected error"),
    "task.unknown": (logging.WARNING, "a worker was handed a run of a task that it does not have; it hands it back"),
    "upkeep.failed": (logging.ERROR, "a round of upkeep failed; the next one tries again"),
    "versions.adopted": (
        logging.INFO,
        "workers were given runs of a version that no worker has any more, and that no operator had named",
    ),
    "worker.announced": (logging.INFO, "a worker told the server what it can run"),
    "worker.died": (logging.WARNING, "a worker process ended by itself; another one is started"),
    "worker.left": (logging.INFO, "a worker said good-bye"),
    "worker.lost": (logging.WARNING, "the server did not know the worker: its runs stop, and it announces itself anew"),
}
"""Every event: its level and what it means."""


def is_heard(name: str) -> bool:
    """Whether anybody listens to an event, for one whose facts cost something to find."""
    return _log.isEnabledFor(CATALOGUE[name][0])


def event(name: str, /, **fields: object) -> None:
    """Log an event.

    Args:
        name: From the catalogue.
        fields: Facts: ids, counts, durations with their unit in the name. Never a secret, never a payload.

    Raises:
        KeyError: The name is not in the catalogue.
    """
    level, _ = CATALOGUE[name]
    if _log.isEnabledFor(level):
        spelled = " ".join(f"{key}={value}" for key, value in fields.items())
        _log.log(level, "%s %s", name, spelled, extra={"event": name, "fields": fields})


def places(error: BaseException) -> str:
    """Return where an error came from, innermost first; no message, which may quote what was sent."""
    frames = traceback.extract_tb(error.__traceback__)[: -_FRAMES - 1 : -1]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
