"""Polling: ask where a run or a batch stands, once or until the run has ended.

Quick at first, then once a second: most runs end soon, and the others should not cost the server much. Knows ids only;
what has them, a handle or a run, stands above.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from oncue.protocol import codec, durations
from oncue.protocol.durations import Duration
from oncue.protocol.errors import ApiError
from oncue.protocol.failures import ShownError
from oncue.protocol.runs import RunSummary, RunView
from oncue.protocol.triggers import BatchView
from oncue.sdk import flows, packets, requests
from oncue.sdk.flows import Flow, Sleep
from oncue.sdk.requests import Call
from oncue.sdk.results import AnyResult, Failed, Ok, ReadOutput
from oncue.sdk.run import Run

T = TypeVar("T")

FIRST_S: Final = 0.05
LONGEST_S: Final = 1.0
FACTOR: Final = 2.0


def retrieve(run_id: str) -> Flow[Run]:
    """Ask for a run once."""
    return complete(flows.exchange(requests.retrieve_run(run_id, Run)))


def retrieve_batch(batch_id: str) -> Flow[BatchView]:
    """Ask for a batch once."""
    return flows.exchange(requests.retrieve_batch(batch_id))


def result(run_id: str, timeout: Duration | None, read_output: ReadOutput | None) -> Flow[AnyResult]:
    """Wait until a run has ended, and return how.

    Args:
        run_id: The run.
        timeout: How long at most; None waits without end.
        read_output: Reads the output; None takes the JSON value as it is.

    Raises:
        ValueError: ``timeout`` is not a length of time.
        TimeoutError: The run has not ended in time.
    """
    limit_s = seconds(timeout)

    def flow() -> Flow[AnyResult]:
        view = yield from repeated(
            requests.retrieve_run(run_id, RunView),
            is_over=_is_over,
            late=_late,
            limit_s=limit_s,
            wait_s=FIRST_S,
            factor=FACTOR,
        )
        if not view.is_success:
            error = view.error or ShownError(f"the run ended as {view.status}", name=view.status)
            return Failed(view.id, view.task_identifier, error)
        output, type_ = view.output, codec.JSON
        if view.output_presigned_url is not None:
            output, type_ = yield from packets.fetched_from(view.output_presigned_url)
        read = read_output or codec.restore
        return Ok(view.id, view.task_identifier, read(bytes(output) or b"null", type_))

    return flow()


def complete(asked: Flow[Run]) -> Flow[Run]:
    """Return a run with its payload and output, fetched where the server keeps them apart.

    What cannot be fetched is None, and its address stays: a look at where a run stands must not fail over that. Source:
    wire contract §2.6.
    """
    run = yield from asked
    found: dict[str, Any] = {}
    for name, address in (("payload", run.payload_presigned_url), ("output", run.output_presigned_url)):
        if address is not None:
            try:
                document, type_ = yield from packets.fetched_from(address)
            except ApiError:
                continue
            # As the server shows what it has at hand: without what only JavaScript can say.
            found[name] = msgspec.json.decode(codec.plain(document, type_))
            found[f"{name}_presigned_url"] = None
    return msgspec.structs.replace(run, **found) if found else run


def poll(run_id: str, interval: Duration, timeout: Duration | None) -> Flow[Run]:
    """Ask for a run at even intervals until it has ended; errors as for ``result``."""
    interval_s = durations.read(interval, "interval").total_seconds()
    call = requests.retrieve_run(run_id, Run)
    return complete(repeated(call, is_over=_is_over, late=_late, limit_s=seconds(timeout), wait_s=interval_s))


def repeated(
    call: Call[T],
    *,
    is_over: Callable[[T], bool],
    late: Callable[[T], str],
    limit_s: float | None,
    wait_s: float,
    factor: float = 1.0,
    longest_s: float = LONGEST_S,
) -> Flow[T]:
    """Ask again and again until what is asked for is over.

    Args:
        call: The question.
        is_over: Whether an answer is the last.
        late: What to say where the time has passed.
        limit_s: How long at most; None asks without end.
        wait_s: Between the first two questions.
        factor: How much longer each wait is than the one before.
        longest_s: No wait that has grown is longer than this.

    Raises:
        TimeoutError: It is not over in time.
    """
    begun = yield from flows.now()
    until = None if limit_s is None else begun + limit_s
    while True:
        found = yield from flows.exchange(call, until=until)
        if is_over(found):
            return found
        at = yield from flows.now()
        if until is not None and at >= until:
            raise TimeoutError(f"{late(found)} after {limit_s:g} s; it goes on, ask again later")
        yield Sleep(wait_s if until is None else min(wait_s, until - at))
        wait_s = min(longest_s, wait_s * factor) if factor > 1 else wait_s


def seconds(timeout: Duration | None) -> float | None:
    """Return a limit of time in seconds; None where there is none."""
    return None if timeout is None else durations.read(timeout, "timeout").total_seconds()


def _is_over(run: RunSummary) -> bool:
    return run.is_completed


def _late(run: RunSummary) -> str:
    return f"run {run.id} is {run.status}"
