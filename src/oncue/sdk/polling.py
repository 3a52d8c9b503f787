"""Polling: ask where a run or a batch stands, once or until the run has ended.

Quick at first, then once a second: most runs end soon, and the others should not cost the server much. Knows ids only;
what has them, a handle or a run, stands above.
"""

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

V = TypeVar("V", bound=RunSummary)

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
    limit_s = _seconds(timeout)

    def flow() -> Flow[AnyResult]:
        view = yield from _ended(requests.retrieve_run(run_id, RunView), limit_s, FIRST_S)
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
    return complete(_ended(call, _seconds(timeout), interval_s, factor=1.0, longest_s=interval_s))


def _ended(
    call: Call[V], limit_s: float | None, wait_s: float, *, factor: float = FACTOR, longest_s: float = LONGEST_S
) -> Flow[V]:
    begun = yield from flows.now()
    until = None if limit_s is None else begun + limit_s
    while True:
        view = yield from flows.exchange(call, until=until)
        if view.is_completed:
            return view
        at = yield from flows.now()
        if until is not None and at >= until:
            raise TimeoutError(f"run {view.id} is {view.status} after {limit_s:g} s; it goes on, ask again later")
        yield Sleep(wait_s if until is None else min(wait_s, until - at))
        wait_s = min(longest_s, wait_s * factor)


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else durations.read(timeout, "timeout").total_seconds()
