"""Work: what a worker and the server say to each other.

A worker announces itself, then repeats: claim, execute, report; a thread of its own sends the heartbeat. What the
server has to tell a worker about runs it already holds comes as notices with each claim, again and again until the
worker has acknowledged them, so a lost answer loses nothing.

Life of a run, this module's part::

    engine/claiming -> Assignment -> worker/executor -> Outcome -> engine/attempts
"""

import datetime
from typing import Literal, TypeAlias

import msgspec

from oncue.protocol.codec import JSON, NOTHING
from oncue.protocol.failures import RunError
from oncue.protocol.machines import DEFAULT
from oncue.protocol.retry import RetryPolicy


class TaskDeclaration(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A task as its code declares it."""

    id: str
    queue: str | None = None
    """Name of a queue shared with other tasks; absent: ``task/<id>``."""
    concurrency_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    """Limit of that queue as the code has it; null: none; absent: the code says nothing of it, as where a task names
    a queue that is declared elsewhere."""
    retry: RetryPolicy | None = None
    machine: str | None = None
    isolated: bool = False
    """Its runs have processes of their own, and take CPUs and memory of a worker's."""
    ttl_ms: int | None = None
    max_duration_ms: int | None = None
    payload_schema: msgspec.Raw = NOTHING
    """JSON Schema of the payload, where the annotation gives one."""
    file: str | None = None
    """Where the task is defined, as ``path:line``, relative to the worker's folder where it is below it."""


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A worker process says that it is there, and what it can run."""

    worker_id: str
    tasks: list[TaskDeclaration]
    places: int
    """Runs it executes at once."""
    hostname: str
    pid: int
    sdk_version: str
    queues: list[str] | None = None
    """Serve these queues only; absent: every queue."""
    version: str | None = None
    """Of the deployed code; absent: the server makes one for its fingerprint."""
    fingerprint: str | None = None
    """Equal for workers with the same code, 1 to 200 characters; absent: there is no version to make."""
    region: str | None = None
    """Where the worker is: it is given the runs that ask for this region, and those that ask for none."""
    cpus: float | None = None
    """What it has for runs that are held to machines; absent: nothing."""
    memory_bytes: int | None = None


class Welcome(msgspec.Struct, frozen=True, rename="camel"):
    """The server's side of an announcement; all times in milliseconds."""

    environment: str
    lease_ms: int
    """A worker that is silent for so long has lost its runs."""
    heartbeat_ms: int
    claim_wait_ms: int
    """How long a claim may be held open when there is nothing to do."""
    version: str | None = None
    """What the worker's runs are locked to; null in development."""


class ClaimRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Ask for runs; answered as soon as there is a run or a notice, else empty after ``wait_ms``."""

    worker_id: str
    places: int
    """Free places, 0 to 1,000; with 0 only notices come."""
    wait_ms: int = 0
    acknowledged: list[int] = []
    """Notices that have been acted upon."""
    holding: list[str] | None = None
    """Sent when the answer to an earlier claim got lost: every run the worker knows of. Whatever else is leased to it
    was handed out in that answer and never arrived; it goes back in line at no cost."""


class Assignment(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run handed to a worker, leased under an epoch."""

    run_id: str
    epoch: int
    """Rises with every execution from the top; every write about the run carries it."""
    attempt: int
    """From 1."""
    task: str
    queue: str
    created_at: datetime.datetime
    payload: msgspec.Raw = NOTHING
    payload_type: str = "application/json"
    concurrency_key: str | None = None
    tags: list[str] = []
    metadata: msgspec.Raw = NOTHING
    priority: float = 0
    max_attempts: int | None = None
    max_duration_ms: int | None = None
    machine: str = DEFAULT
    """What the run is held to where it has a process of its own: where its task asks for one, and wherever this is not
    the default."""
    parent_id: str | None = None
    root_id: str | None = None
    depth: int = 0
    batch_id: str | None = None
    batch_index: int | None = None
    is_test: bool = False


class ChildSucceeded(msgspec.Struct, frozen=True, omit_defaults=True, tag="ok", tag_field="result", rename="camel"):
    """A waited-for run ended well."""

    id: str
    task: str
    output: msgspec.Raw = NOTHING
    output_type: str = "application/json"


class ChildFailed(msgspec.Struct, frozen=True, tag="failed", tag_field="result", rename="camel"):
    """A waited-for run ended otherwise: failed, cancelled, expired, crashed."""

    id: str
    task: str
    error: RunError


ChildResult: TypeAlias = ChildSucceeded | ChildFailed


class RunSettled(msgspec.Struct, frozen=True, tag="run", tag_field="notice", rename="camel"):
    """The child that a run waits for is done."""

    notice_id: int
    run_id: str
    """The waiting run."""
    epoch: int
    child: ChildResult
    """Its id names the wait: whatever in the run awaits that child gets this result."""
    resumes: bool
    """The run waits for nothing else now and holds its slots again: it needs a free place to go on."""


class BatchSettled(msgspec.Struct, frozen=True, tag="batch", tag_field="notice", rename="camel"):
    """The batch that a run waits for is done; its results are fetched in pages."""

    notice_id: int
    run_id: str
    epoch: int
    batch_id: str
    run_count: int
    resumes: bool
    aborted: str | None = None
    """Why the batch was given up, if it was; then there are no results."""


class WaitpointSettled(
    msgspec.Struct, frozen=True, tag="waitpoint", tag_field="notice", omit_defaults=True, rename="camel"
):
    """The moment that a run waits for has come, or the token was completed or timed out."""

    notice_id: int
    run_id: str
    epoch: int
    waitpoint_id: str
    resumes: bool
    timed_out: bool = False
    output: msgspec.Raw = NOTHING
    output_type: str = JSON


class WaitRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A run wants to wait: for a span, a moment, or a token; one of the three."""

    parent_run_id: str
    parent_epoch: int
    parent_worker_id: str
    call_key: str | None = None
    id: str | None = None
    """Of the moment, minted by the caller; asked again with the same one, it is waited for once."""
    delay_ms: int | None = None
    """From now on."""
    until: datetime.datetime | None = None
    """Aware; one that has passed is over at once."""
    token: str | None = None
    """Id of a token."""


class WaitResponse(msgspec.Struct, frozen=True, rename="camel"):
    """What the run waits for now; a notice tells when it is over."""

    id: str


class StepCall(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A step of a run."""

    parent_run_id: str
    parent_epoch: int
    parent_worker_id: str
    call_key: str


class StepRecord(msgspec.Struct, frozen=True):
    """A step that was taken."""

    step: StepCall
    output: msgspec.Raw = NOTHING


class StepKept(msgspec.Struct, frozen=True):
    """The step's result is stored."""

    kept: bool = True


class StepRecalled(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a step, where this attempt has taken it before."""

    found: bool = False
    output: msgspec.Raw = NOTHING


class StopRun(msgspec.Struct, frozen=True, tag="stop", tag_field="notice", rename="camel"):
    """Stop executing a run: it was cancelled."""

    notice_id: int
    run_id: str
    epoch: int
    reason: str


Notice: TypeAlias = RunSettled | BatchSettled | WaitpointSettled | StopRun


class ClaimResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Runs to execute, and news of those already held."""

    assignments: list[Assignment] = []
    notices: list[Notice] = []


class BatchResults(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a batch's results, in item order."""

    items: list[ChildResult]


class Succeeded(msgspec.Struct, frozen=True, omit_defaults=True, tag="succeeded", tag_field="outcome", rename="camel"):
    """The task returned."""

    run_id: str
    epoch: int
    ran_ms: int
    """Compute time of this execution, waits left out."""
    output: msgspec.Raw = NOTHING
    output_type: str = "application/json"


class Failed(msgspec.Struct, frozen=True, omit_defaults=True, tag="failed", tag_field="outcome", rename="camel"):
    """The task raised."""

    run_id: str
    epoch: int
    ran_ms: int
    error: RunError
    retryable: bool = True
    """False for ``AbortRun`` and for a payload that does not fit."""
    retry_after_ms: int | None = None
    """The task chose the moment itself."""


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="outcome", rename="camel"):
    """The worker ended the run without the task's say: out of time or crashed. Never retried."""

    run_id: str
    epoch: int
    ran_ms: int
    status: Literal["TIMED_OUT", "CRASHED"]
    error: RunError


class OutOfMemory(msgspec.Struct, frozen=True, tag="out_of_memory", tag_field="outcome", rename="camel"):
    """The run's process used up the memory of its machine.

    Followed by another attempt only where the task declares a machine for that, and the run does not have it yet.
    """

    run_id: str
    epoch: int
    ran_ms: int
    error: RunError


class HandedBack(msgspec.Struct, frozen=True, tag="handed_back", tag_field="outcome", rename="camel"):
    """The worker leaves before the run is done: somebody else starts it again. Costs no attempt."""

    run_id: str
    epoch: int


class Unloaded(msgspec.Struct, frozen=True, tag="unloaded", tag_field="outcome", rename="camel"):
    """The worker lets go of a run that waits: it starts again from the top when something it waits for is there.

    Costs no attempt. Where something has come that the worker does not know of, this is the same as ``HandedBack``.
    """

    run_id: str
    epoch: int
    ran_ms: int
    """Compute time of this execution, waits left out."""
    waits_for: list[str]
    """The runs, batches and waitpoints whose results the worker had not got; at least one."""


Outcome: TypeAlias = Succeeded | Failed | Ended | OutOfMemory | HandedBack | Unloaded


class OutcomesRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Outcomes in a group; sent again until each is answered."""

    worker_id: str
    outcomes: list[Outcome]


class OutcomesResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What became of the outcomes: all were recorded but those named."""

    lost: list[str] = []
    """Runs whose lease was no longer the worker's: another execution counts, or the run was cancelled.
    An outcome that had been recorded before is not among them."""
    again: list[str] = []
    """Runs whose outcomes are to be sent again later: their outputs belong into the object store, which is away."""


class Heartbeat(msgspec.Struct, frozen=True, rename="camel"):
    """The worker is alive, and so are all its runs."""

    worker_id: str


class TooLarge(msgspec.Struct, frozen=True, rename="camel"):
    """A task with runs in line for whose machine no worker is large enough."""

    task: str
    machine: str
    largest: str
    """What the largest worker has, for people to read."""


class HeartbeatResponse(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Whether the lease was still there to extend; if not, the worker stops its runs and announces itself anew."""

    known: bool
    too_large: list[TooLarge] = []
    """Of the worker's tasks."""


class Farewell(msgspec.Struct, frozen=True, rename="camel"):
    """The worker leaves; whatever it still holds goes back in line."""

    worker_id: str
