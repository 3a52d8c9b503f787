"""Polling: wait for a run from outside, by asking until it has ended.

Quick at first, then once a second: most runs end soon, and the others should not cost the server much.
"""

from typing import Any, Final, TypeVar
from urllib.parse import quote

from oncue.protocol import codec, durations
from oncue.protocol.durations import Duration
from oncue.protocol.failures import ShownError
from oncue.protocol.runs import RunSummary, RunView
from oncue.sdk import flows, requests
from oncue.sdk.flows import Flow, Sleep
from oncue.sdk.handles import RunHandle
from oncue.sdk.requests import Call
from oncue.sdk.results import AnyResult, Failed, Ok
from oncue.sdk.run import Run

V = TypeVar("V", bound=RunSummary)

FIRST_S: Final = 0.05
LONGEST_S: Final = 1.0
FACTOR: Final = 2.0


def retrieve(run_id: str, type_: type[V]) -> Call[V]:
    """Ask for a run (wire contract §2.6)."""
    return requests.get(f"/api/v3/runs/{quote(run_id, safe='')}", type_)


def result(handle: RunHandle[Any], timeout: Duration | None) -> Flow[AnyResult]:
    """Wait until a run has ended, and return how.

    Raises:
        ValueError: ``timeout`` is not a length of time.
        TimeoutError: The run has not ended in time.
    """
    limit_s = _seconds(timeout)

    def flow() -> Flow[AnyResult]:
        view = yield from _ended(retrieve(handle.id, RunView), limit_s, FIRST_S)
        if not view.is_success:
            error = view.error or ShownError(f"the run ended as {view.status}", name=view.status)
            return Failed(view.id, view.task_identifier, error)
        read_output = handle.read_output or codec.restore
        return Ok(view.id, view.task_identifier, read_output(bytes(view.output) or b"null", codec.JSON))

    return flow()


def poll(run_id: str, interval: Duration, timeout: Duration | None) -> Flow[Run]:
    """Ask for a run at even intervals until it has ended; errors as for ``result``."""
    interval_s = durations.read(interval, "interval").total_seconds()
    return _ended(retrieve(run_id, Run), _seconds(timeout), interval_s, factor=1.0, longest_s=interval_s)


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
