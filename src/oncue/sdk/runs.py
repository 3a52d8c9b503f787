"""Runs: ask about runs, list them, cancel, reschedule and replay them.

Each function takes a run's id or its handle. The shapes are in ``run.py``, the waiting in ``polling.py``.
"""

import datetime
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict, Unpack, get_args

from oncue.protocol import durations
from oncue.protocol.durations import Duration
from oncue.protocol.machines import Machine
from oncue.protocol.runs import ReplayRequest, ReplayResponse, RescheduleRequest
from oncue.protocol.status import ApiStatus
from oncue.sdk import flows, option_values, polling, queue_refs, requests, run_logs, transport, triggering
from oncue.sdk.flows import Flow
from oncue.sdk.handles import BatchHandle, RunHandle
from oncue.sdk.missing import MISSING, Missing
from oncue.sdk.options import REPLAY_OPTIONS, ReplayOptions, unknown
from oncue.sdk.queue_refs import QueueRef
from oncue.sdk.run import ListedRun, Run, RunPage
from oncue.sdk.run_logs import LoggedLine

RunRef: TypeAlias = str | RunHandle[Any] | Run | ListedRun
"""A run, by its id or by anything that has it."""

PAGE: Final = 100
"""Runs that are asked for at once."""


class RunFilters(TypedDict, total=False):
    """What a listed run must match; each takes one value or several, of which one must match."""

    status: ApiStatus | Sequence[ApiStatus] | None
    task: str | Sequence[str] | None
    tag: str | Sequence[str] | None
    queue: QueueRef | Sequence[QueueRef] | None
    """By name, or by what has one: ``queue(...)``, a task, what ``queues.retrieve`` returned. Not by id."""
    batch: str | BatchHandle[Any] | None
    version: str | Sequence[str] | None
    region: str | Sequence[str] | None
    machine: Machine | Sequence[Machine] | None
    is_test: bool | None
    created_after: datetime.datetime | None
    """Aware."""
    created_before: datetime.datetime | None
    """Aware."""
    period: Duration | None
    """Created within this time up to now."""
    limit: int | None
    """At most so many runs in all."""


class _Query(NamedTuple):
    filters: Sequence[tuple[str, str]]
    limit: int | None

    def page(self, after: str | None, seen: int) -> requests.Call[RunPage]:
        size = PAGE if self.limit is None else min(PAGE, self.limit - seen)
        cursor = [] if after is None else [("page[after]", after)]
        return requests.get("/api/v1/runs", RunPage, [("page[size]", str(size)), *cursor, *self.filters])


def retrieve(run: RunRef) -> Coroutine[Any, Any, Run]:
    """Ask where a run stands.

    Raises:
        NotFound: There is no such run in this environment.

    Example::

        run = await runs.retrieve("run_06f4...")
    """
    return transport.start(polling.retrieve(_id(run)), "runs.retrieve")


def poll(run: RunRef, *, interval: Duration = "1s", timeout: Duration | None = None) -> Coroutine[Any, Any, Run]:
    """Ask again and again until a run has ended.

    Args:
        run: Its id or handle.
        interval: Between two questions.
        timeout: How long at most; None asks without end.

    Raises:
        TimeoutError: The run has not ended in time; it goes on.

    Example::

        run = await runs.poll(handle, interval="5s")
    """
    return transport.start(polling.poll(_id(run), interval, timeout), "runs.poll")


def logs(run: RunRef) -> Coroutine[Any, Any, Sequence[LoggedLine]]:
    """Read what a run has logged with ``logger``, oldest first, the lines of every attempt.

    Raises:
        NotFound: There is no such run in this environment.

    Example::

        for line in await runs.logs(handle):
            print(line.at, line.level, line.message, line.fields)
    """
    return transport.start(run_logs.read(_id(run)), "runs.logs")


def list_runs(**filters: Unpack[RunFilters]) -> AsyncIterator[ListedRun]:
    """List runs, newest first, page after page as they are asked for.

    Args:
        filters: See ``RunFilters``; all must match.

    Raises:
        TypeError: There is no such filter.
        ValueError: A filter's value makes no sense.

    Example::

        async for run in runs.list(status="FAILED", period="1d"):
            print(run.id)
    """
    query = _query(filters)

    async def pages() -> AsyncIterator[ListedRun]:
        after, seen = None, 0
        while query.limit is None or seen < query.limit:
            page = await transport.start(flows.exchange(query.page(after, seen)), "runs.list")
            for run in page.data:
                yield run
            seen, after = seen + len(page.data), page.pagination.next
            if after is None:
                return

    return pages()


def cancel(run: RunRef) -> Coroutine[Any, Any, None]:
    """Cancel a run; one that has ended stays as it is.

    Raises:
        NotFound: There is no such run in this environment.

    Example::

        await runs.cancel(handle)
    """
    return transport.start(flows.exchange(requests.cancel_run(_id(run))), "runs.cancel")


def reschedule(run: RunRef, *, delay: str | datetime.timedelta | datetime.datetime) -> Coroutine[Any, Any, Run]:
    """Hold a delayed run until another moment, earlier or later, and return it as it stands then.

    Args:
        run: Its id or handle.
        delay: ``"1h"``, ``"2h30m"``, a timedelta, an aware datetime or an ISO date, which is UTC without a zone.

    Raises:
        BadRequest: The run is not delayed (any more), or the moment has passed.
        NotFound: There is no such run in this environment.
        ValueError: ``delay`` makes no sense.

    Example::

        await runs.reschedule(handle, delay="1h")
    """
    return transport.start(polling.complete(flows.exchange(_reschedule(run, delay))), "runs.reschedule")


def replay(
    run: RunRef, *, payload: object | Missing = MISSING, **options: Unpack[ReplayOptions]
) -> Coroutine[Any, Any, RunHandle[Any]]:
    """Trigger once more what a run was asked to do; the run may be in any state, and stays as it is.

    The new run takes over task, payload, metadata as it was at first, tags, queue, concurrency key, machine and region.
    Delay, ttl, keys, max_attempts, max_duration, priority, version and parent do not come along.

    Args:
        run: Its id or handle.
        payload: Another payload; None is the JSON value null. Checked by the task when it runs.
        options: What the new run is to have otherwise.

    Returns:
        A handle of the new run, or of the one that an ``idempotency_key`` stands for, with ``is_cached``.

    Raises:
        BadRequest: The server refuses a value.
        NotFound: There is no such run in this environment.
        PayloadValidationError: The payload has no JSON form.
        TypeError: There is no such option.
        ValueError: An option's value makes no sense.

    Example::

        handle = await runs.replay("run_06f4...", priority=60)
    """
    return transport.start(_replay(run, payload, options), "runs.replay")


class BlockingRuns:
    """``runs.sync``: the same functions, blocking the thread."""

    def retrieve(self, run: RunRef) -> Run:
        """Ask where a run stands: ``runs.sync.retrieve("run_06f4...")``."""
        return transport.run(polling.retrieve(_id(run)))

    def poll(self, run: RunRef, *, interval: Duration = "1s", timeout: Duration | None = None) -> Run:
        """Ask until a run has ended: ``runs.sync.poll(handle, timeout="1m")``."""
        return transport.run(polling.poll(_id(run), interval, timeout))

    def list(self, **filters: Unpack[RunFilters]) -> Iterator[ListedRun]:
        """List runs, newest first: ``for run in runs.sync.list(tag="nightly"): ...``."""
        query = _query(filters)

        def pages() -> Iterator[ListedRun]:
            after, seen = None, 0
            while query.limit is None or seen < query.limit:
                page = transport.run(flows.exchange(query.page(after, seen)))
                yield from page.data
                seen, after = seen + len(page.data), page.pagination.next
                if after is None:
                    return

        return pages()

    def cancel(self, run: RunRef) -> None:
        """Cancel a run: ``runs.sync.cancel(handle)``."""
        transport.run(flows.exchange(requests.cancel_run(_id(run))))

    def logs(self, run: RunRef) -> Sequence[LoggedLine]:
        """Read what a run has logged: ``runs.sync.logs(handle)``."""
        return transport.run(run_logs.read(_id(run)))

    def reschedule(self, run: RunRef, *, delay: str | datetime.timedelta | datetime.datetime) -> Run:
        """Hold a delayed run until another moment: ``runs.sync.reschedule(handle, delay="1h")``."""
        return transport.run(polling.complete(flows.exchange(_reschedule(run, delay))))

    def replay(
        self, run: RunRef, *, payload: object | Missing = MISSING, **options: Unpack[ReplayOptions]
    ) -> RunHandle[Any]:
        """Trigger once more what a run was asked to do: ``runs.sync.replay(handle, tags="again")``."""
        return transport.run(_replay(run, payload, options))


def _id(run: object) -> str:
    run_id = getattr(run, "id", run)
    if not isinstance(run_id, str) or not run_id:
        raise TypeError(f"{run!r} is not a run; expected a run's id or its handle")
    return run_id


def _reschedule(run: RunRef, delay: object) -> requests.Call[Run]:
    return requests.reschedule_run(_id(run), RescheduleRequest(option_values.read_delay(delay)), Run)


def _replay(run: RunRef, payload: object, options: ReplayOptions) -> Flow[RunHandle[Any]]:
    """Check what is asked for, and return the flow that asks."""
    for name in options:
        if name not in REPLAY_OPTIONS:
            raise unknown(name, REPLAY_OPTIONS)
    fields = option_values.read(options)
    if "lock_to_version" in fields:
        fields["version"] = fields.pop("lock_to_version")
    if payload is not MISSING:
        fields["payload"] = triggering.encoded(payload, f"a replay of {_id(run)}")
    return _replayed(requests.replay_run(_id(run), ReplayRequest(**fields)))


def _replayed(call: requests.Call[ReplayResponse]) -> Flow[RunHandle[Any]]:
    made = yield from flows.exchange(call)
    return RunHandle(made.id, made.task_identifier, made.is_cached)


def _query(filters: RunFilters) -> _Query:
    query: dict[str, str] = {}
    limit: int | None = None
    for name, value in filters.items():
        if name not in RunFilters.__annotations__:
            raise unknown(name, tuple(RunFilters.__annotations__), "filter")
        match name, value:
            case _, None:
                continue
            case "limit", _:
                limit = _limit(value)
            case "period", _:
                query["filter[createdAt][period]"] = durations.show(durations.read(value, "period"))
            case (("created_after" | "created_before"), _):
                query[_NAMES[name]] = _moment(name, value)
            case "is_test", _:
                query["filter[isTest]"] = _flag(name, value)
            case "queue", _:
                query["filter[queue]"] = _values(name, [queue_refs.read_name(each) for each in _each(value)])
            case _:
                query[_NAMES.get(name, f"filter[{name}]")] = _values(name, value)
    return _Query(tuple(query.items()), limit)


_NAMES: Final = {
    "task": "filter[taskIdentifier]",
    "created_after": "filter[createdAt][from]",
    "created_before": "filter[createdAt][to]",
}


def _limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"limit={value!r} is not accepted; expected a whole number from 1, or None for all")
    return value


def _flag(name: str, value: object) -> str:
    if value is True or value is False:
        return str(value).lower()
    raise ValueError(f"{name}={value!r} is not accepted; expected True, False or None")


def _moment(name: str, value: object) -> str:
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise ValueError(f"{name}={value!r} is not accepted; expected an aware datetime")
    return str(round(value.timestamp() * 1000))


def _each(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _values(name: str, value: object) -> str:
    texts: Sequence[Any] = [getattr(each, "id", each) for each in _each(value)]
    if not texts:
        raise ValueError(f"{name}={value!r} is empty; expected one value or several, or None for all")
    for text in texts:
        # Several values travel joined by commas, so a comma inside one would be read as two.
        if not isinstance(text, str) or not text or "," in text:
            raise ValueError(f"{name}={value!r} is not accepted; expected one text or several, without commas")
        if name == "status" and text not in get_args(ApiStatus):
            raise ValueError(f"status={text!r} is not a status; expected one of {', '.join(get_args(ApiStatus))}")
    return ",".join(texts)


list = list_runs  # noqa: A001 - the public name, runs.list
sync: Final = BlockingRuns()
