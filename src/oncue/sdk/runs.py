"""Runs: ask about runs, list them, cancel, reschedule and replay them.

Each function takes a run's id or its handle. The shapes are in ``run.py``, the waiting in ``polling.py``, what is done
to many runs at once, ``runs.bulk``, in ``bulk_actions.py``.
"""

import datetime
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Final, Unpack

from oncue.protocol import durations
from oncue.protocol.durations import Duration
from oncue.protocol.runs import ReplayRequest, ReplayResponse, RescheduleRequest
from oncue.sdk import (
    bulk_actions,
    flows,
    option_values,
    polling,
    requests,
    run_filters,
    run_logs,
    subscribing,
    transport,
    triggering,
)
from oncue.sdk.flows import Flow
from oncue.sdk.handles import BatchHandle, RunHandle
from oncue.sdk.missing import MISSING, Missing
from oncue.sdk.options import REPLAY_OPTIONS, ReplayOptions, unknown
from oncue.sdk.run import FollowedRun, ListedRun, Run
from oncue.sdk.run_filters import RunFilters
from oncue.sdk.run_logs import LoggedLine
from oncue.sdk.run_refs import RunRef, run_id_of


def retrieve(run: RunRef) -> Coroutine[Any, Any, Run]:
    """Ask where a run stands.

    Raises:
        NotFound: There is no such run in this environment.

    Example::

        run = await runs.retrieve("run_06f4...")
    """
    return transport.start(polling.retrieve(run_id_of(run)), "runs.retrieve")


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
    return transport.start(polling.poll(run_id_of(run), interval, timeout), "runs.poll")


def logs(run: RunRef) -> Coroutine[Any, Any, Sequence[LoggedLine]]:
    """Read what a run has logged with ``logger``, oldest first, the lines of every attempt.

    Raises:
        NotFound: There is no such run in this environment.

    Example::

        for line in await runs.logs(handle):
            print(line.at, line.level, line.message, line.fields)
    """
    return transport.start(run_logs.read(run_id_of(run)), "runs.logs")


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
    query = run_filters.read(filters)

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
    return transport.start(flows.exchange(requests.cancel_run(run_id_of(run))), "runs.cancel")


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


def subscribe(run: RunRef) -> AsyncIterator[FollowedRun]:
    """Follow a run: yields it as it stands now and each time it changes, and ends when it has ended.

    The server tells of a change within milliseconds, and with it all that is shown: nothing more is asked, but for what
    is kept in the object store. What ``retrieve`` alone shows is not there: see ``FollowedRun``. A server that cannot
    be reached any more is asked again without end. Changes in quick succession may be seen as one.

    Raises:
        ConnectionFailed: No server was there to begin with.
        NotFound: There is no such run in this environment.

    Example::

        async for run in runs.subscribe(handle):
            print(run.status, run.metadata)
    """
    return subscribing.follow(subscribing.to_run(run_id_of(run)), "runs.subscribe", ends=True)


def subscribe_to_tags(
    tags: str | Sequence[str], *, created_within: Duration | None = None
) -> AsyncIterator[FollowedRun]:
    """Follow the runs that have all of some tags, and those that come to have them; without end; see ``subscribe``.

    Args:
        tags: One or several.
        created_within: Runs that came so long ago at most; a day, and no more, unless said.

    Raises:
        BadRequest: A tag holds a quote, a backslash or a comma.
        ValueError: ``created_within`` is not a length of time.

    Example::

        async for run in runs.subscribe_to_tags(f"customer:{customer}"):
            print(run.id, run.status)
    """
    return subscribing.follow(_tagged(tags, created_within), "runs.subscribe_to_tags", ends=False)


def subscribe_to_batch(batch: str | BatchHandle[Any]) -> AsyncIterator[FollowedRun]:
    """Follow the runs of a batch; without end; see ``subscribe``.

    Raises:
        NotFound: There is no such batch in this environment.

    Example::

        left = handle.run_count
        async for run in runs.subscribe_to_batch(handle):
            print(run.id, run.status)
    """
    return subscribing.follow(subscribing.to_batch(_batch_id(batch)), "runs.subscribe_to_batch", ends=False)


class BlockingRuns:
    """``runs.sync``: the same functions, blocking the thread."""

    bulk: Final = bulk_actions.sync

    def retrieve(self, run: RunRef) -> Run:
        """Ask where a run stands: ``runs.sync.retrieve("run_06f4...")``."""
        return transport.run(polling.retrieve(run_id_of(run)))

    def poll(self, run: RunRef, *, interval: Duration = "1s", timeout: Duration | None = None) -> Run:
        """Ask until a run has ended: ``runs.sync.poll(handle, timeout="1m")``."""
        return transport.run(polling.poll(run_id_of(run), interval, timeout))

    def list(self, **filters: Unpack[RunFilters]) -> Iterator[ListedRun]:
        """List runs, newest first: ``for run in runs.sync.list(tag="nightly"): ...``."""
        query = run_filters.read(filters)

        def pages() -> Iterator[ListedRun]:
            after, seen = None, 0
            while query.limit is None or seen < query.limit:
                page = transport.run(flows.exchange(query.page(after, seen)))
                yield from page.data
                seen, after = seen + len(page.data), page.pagination.next
                if after is None:
                    return

        return pages()

    def subscribe(self, run: RunRef) -> Iterator[FollowedRun]:
        """Follow a run to its end: ``for run in runs.sync.subscribe(handle): ...``."""
        return subscribing.follow_blocking(subscribing.to_run(run_id_of(run)), ends=True)

    def subscribe_to_tags(
        self, tags: str | Sequence[str], *, created_within: Duration | None = None
    ) -> Iterator[FollowedRun]:
        """Follow runs with tags: ``for run in runs.sync.subscribe_to_tags("nightly"): ...``."""
        return subscribing.follow_blocking(_tagged(tags, created_within), ends=False)

    def subscribe_to_batch(self, batch: str | BatchHandle[Any]) -> Iterator[FollowedRun]:
        """Follow the runs of a batch: ``for run in runs.sync.subscribe_to_batch(handle): ...``."""
        return subscribing.follow_blocking(subscribing.to_batch(_batch_id(batch)), ends=False)

    def cancel(self, run: RunRef) -> None:
        """Cancel a run: ``runs.sync.cancel(handle)``."""
        transport.run(flows.exchange(requests.cancel_run(run_id_of(run))))

    def logs(self, run: RunRef) -> Sequence[LoggedLine]:
        """Read what a run has logged: ``runs.sync.logs(handle)``."""
        return transport.run(run_logs.read(run_id_of(run)))

    def reschedule(self, run: RunRef, *, delay: str | datetime.timedelta | datetime.datetime) -> Run:
        """Hold a delayed run until another moment: ``runs.sync.reschedule(handle, delay="1h")``."""
        return transport.run(polling.complete(flows.exchange(_reschedule(run, delay))))

    def replay(
        self, run: RunRef, *, payload: object | Missing = MISSING, **options: Unpack[ReplayOptions]
    ) -> RunHandle[Any]:
        """Trigger once more what a run was asked to do: ``runs.sync.replay(handle, tags="again")``."""
        return transport.run(_replay(run, payload, options))


def _batch_id(batch: object) -> str:
    batch_id = getattr(batch, "batch_id", batch)
    if not isinstance(batch_id, str) or not batch_id:
        raise TypeError(f"{batch!r} is not a batch; expected a batch's id or its handle")
    return batch_id


def _tagged(tags: object, created_within: Duration | None) -> subscribing.Subscription:
    wanted = [tags] if isinstance(tags, str) else [*tags] if isinstance(tags, Sequence) else []
    if not wanted or not all(isinstance(tag, str) and tag and "," not in tag for tag in wanted):
        raise ValueError(f"tags={tags!r} is not accepted; expected a text or several, none of them with a comma")
    within = None if created_within is None else durations.show(durations.read(created_within, "created_within"))
    return subscribing.to_tags(wanted, within)


def _reschedule(run: RunRef, delay: object) -> requests.Call[Run]:
    return requests.reschedule_run(run_id_of(run), RescheduleRequest(option_values.read_delay(delay)), Run)


def _replay(run: RunRef, payload: object, options: ReplayOptions) -> Flow[RunHandle[Any]]:
    """Check what is asked for, and return the flow that asks."""
    for name in options:
        if name not in REPLAY_OPTIONS:
            raise unknown(name, REPLAY_OPTIONS)
    fields = option_values.read(options)
    if "lock_to_version" in fields:
        fields["version"] = fields.pop("lock_to_version")
    if payload is not MISSING:
        fields["payload"] = triggering.encoded(payload, f"a replay of {run_id_of(run)}")
    return _replayed(requests.replay_run(run_id_of(run), ReplayRequest(**fields)))


def _replayed(call: requests.Call[ReplayResponse]) -> Flow[RunHandle[Any]]:
    made = yield from flows.exchange(call)
    return RunHandle(made.id, made.task_identifier, made.is_cached)


bulk: Final = bulk_actions.BulkActions()
list = list_runs  # noqa: A001 - the public name, runs.list
sync: Final = BlockingRuns()
