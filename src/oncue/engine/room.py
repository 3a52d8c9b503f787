"""Room: which runs that are held to machines a worker has CPUs and memory for.

Only runs that execute take room: one that waits takes none, and its worker lets its process go if it must. Machines
have their turn by the line that was served least recently. One that does not fit now is passed over, for ``PATIENCE``;
then the worker is given no other until it has room for it, so that large ones do not starve behind small ones.

Life of a run, this module's part::

    claiming.claim -> room.shares -> the claim of each machine
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol.machines import SIZES, Size
from oncue.store import queries
from oncue.store.pool import Tx

PATIENCE: Final = datetime.timedelta(seconds=10)
"""How long a run that does not fit is passed over by others that do."""


class WaitingMachine(msgspec.Struct, frozen=True):
    """A machine for which runs are in line."""

    machine: str
    tasks: list[int]
    waited: datetime.timedelta | None


class HeldMachine(msgspec.Struct, frozen=True):
    """How many runs a worker executes that are held to a machine."""

    machine: str
    runs: int


class TooLarge(msgspec.Struct, frozen=True):
    """A task with runs in line for which no worker is large enough."""

    task: str
    machine: str
    most_cpus: float | None
    most_memory: int | None

    @property
    def largest(self) -> str:
        """What the largest worker has, for people to read."""
        return str(Size(self.most_cpus or 0, self.most_memory or 0))


class Share(NamedTuple):
    """What may be claimed of runs that are held to one machine."""

    tasks: list[int]
    runs: int


class Shares(NamedTuple):
    """What may be claimed of runs that are held to machines."""

    each: list[Share]
    leaves_some: bool
    """Runs are in line for which there is no room now."""


_sql = queries.load("room")
_waiting_machines = _sql.many("waiting_machines", WaitingMachine)
_held_machines = _sql.many("held_machines", HeldMachine)
_too_large = _sql.many("too_large", TooLarge)


async def shares(
    tx: Tx,
    environment: Environment,
    worker: uuid.UUID,
    size: Size,
    *,
    tasks: Sequence[int],
    queues: Sequence[str] | None,
    places: int,
) -> Shares:
    """Return what a worker may claim, in order.

    Args:
        size: What the worker has in all.
        tasks: The rows of the tasks that it has announced.
        queues: The queues that it serves; None: every one.
        places: Runs that it can take at most.
    """
    waiting = await _waiting_machines(tx, env_id=environment.id, tasks=tasks, queues=queues)
    if not waiting:
        return Shares([], leaves_some=False)
    held = await _held_machines(tx, worker_id=worker)
    return divided(waiting, size, held, places=places)


def divided(waiting: Sequence[WaitingMachine], size: Size, held: Sequence[HeldMachine], *, places: int) -> Shares:
    """Divide what a worker has left among the machines that runs wait for, in order."""
    cpus, memory = size
    for taken in held:
        cpus -= SIZES[taken.machine].cpus * taken.runs
        memory -= SIZES[taken.machine].memory_bytes * taken.runs
    found: list[Share] = []
    leaves_some = False
    for wanted in waiting:
        needed = SIZES[wanted.machine]
        if needed.cpus > size.cpus or needed.memory_bytes > size.memory_bytes:
            continue
        runs = min(places, int(max(0.0, cpus) // needed.cpus), max(0, memory) // needed.memory_bytes)
        leaves_some = True
        if runs > 0:
            # The first in turn is counted on to take all that it may; what it leaves is for the next claim.
            found.append(Share(wanted.tasks, runs))
            places, cpus, memory = places - runs, cpus - needed.cpus * runs, memory - needed.memory_bytes * runs
        elif places > 0 and wanted.waited is not None and wanted.waited > PATIENCE:
            break
    return Shares(found, leaves_some)


async def too_large(tx: Tx, environment: Environment, worker: uuid.UUID) -> list[TooLarge]:
    """Return the tasks of a worker with runs in line that neither it nor any other worker is large enough for."""
    return await _too_large(
        tx,
        env_id=environment.id,
        worker_id=worker,
        machines=list(SIZES),
        cpus=[size.cpus for size in SIZES.values()],
        memory=[size.memory_bytes for size in SIZES.values()],
    )
