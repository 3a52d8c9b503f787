"""Messages: what a worker, its fork server and the processes of isolated runs say to each other.

Between worker and fork server each is a packet, those that ask for a process with the files it is to use. Between a
worker and a process each is its length in four bytes and then JSON, in which a payload or an output stands as it came.
"""

import struct
from typing import Any, Final, TypeAlias

import msgspec

from oncue.protocol.logs import Level
from oncue.protocol.work import Assignment, ChildResult, Outcome, WaitpointSettled

MAX_PACKET_BYTES: Final = 128 * 1024

LENGTH: Final = struct.Struct("!I")
"""How a message between worker and process says its length."""


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Worker to fork server, first: import the tasks."""

    targets: tuple[str, ...]
    api_url: str
    secret_key: str
    log_level: str


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Worker to fork server: a process, please; with its socket, standard output and standard error."""

    number: int
    cpus: float
    memory_bytes: int


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Worker to fork server: end a process and all that it started, now."""

    number: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Fork server to worker: the tasks are imported, or why they cannot be."""

    error: str | None = None


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """Fork server to worker: the process is there, or why it is not."""

    number: int
    pid: int = 0
    error: str | None = None


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """Fork server to worker: the process has ended."""

    number: int
    code: int
    """Its exit code, or the number of the signal that ended it, negative."""
    out_of_memory: bool
    """It was ended because it had used up its memory."""


ToForkServer: TypeAlias = Prepare | Fork | Kill
FromForkServer: TypeAlias = Ready | Forked | Gone


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """Worker to process, first: the run."""

    assignment: Assignment
    worker_id: str
    environment: str
    machine: str


class Reply(msgspec.Struct, frozen=True, tag="reply"):
    """Worker to process: the name of the call that it asked for; none where the run must not go on."""

    call_key: str | None


class Settled(msgspec.Struct, frozen=True, tag="settled", omit_defaults=True, kw_only=True):
    """Worker to process: what it waits for is there; one of the results, or why there is none."""

    number: int
    child: ChildResult | None = None
    children: list[ChildResult] | None = None
    waitpoint: WaitpointSettled | None = None
    given_up: str | None = None
    """Why a batch has no results."""
    item_count: int = 0


class StopNow(msgspec.Struct, frozen=True, tag="stop"):
    """Worker to process: the run must not go on."""

    reason: str
    """Name of a ``Stop``."""


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Process to worker: name a durable call. The process stands still until the reply."""

    kind: str
    task: str
    key: str | None


class Line(msgspec.Struct, frozen=True, tag="line"):
    """Process to worker: a line of the run's log."""

    level: Level
    message: str
    fields: dict[str, Any]


class WaitFor(msgspec.Struct, frozen=True, tag="wait"):
    """Process to worker: the run waits for a run, a batch or a waitpoint."""

    number: int
    target: str
    branch: int
    """Which branch of the task's code waits."""
    stays: bool
    """The run is not unloaded meanwhile."""


class BranchEnded(msgspec.Struct, frozen=True, tag="branch"):
    """Process to worker: a branch that has waited has ended."""

    branch: int


class Counting(msgspec.Struct, frozen=True, tag="counting"):
    """Process to worker: whether the run's compute time counts; not while its documents are on their way."""

    counts: bool


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Process to worker, last: what became of the run; nothing where it was told to stop."""

    outcome: Outcome | None


ToProcess: TypeAlias = Begin | Reply | Settled | StopNow
FromProcess: TypeAlias = Ask | Line | WaitFor | BranchEnded | Counting | Done


def framed(message: ToProcess | FromProcess) -> bytes:
    """Return a message as it travels between worker and process."""
    body = msgspec.json.encode(message)
    return LENGTH.pack(len(body)) + body
