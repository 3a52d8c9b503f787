"""Bulk actions: cancel or replay many runs at one request, and see how far that is.

``runs.bulk`` in code with an event loop, ``runs.sync.bulk`` in code without one.

Life of a run, this module's part::

    runs.bulk.replay -> bulk_actions -> api/routes/bulk_actions -> engine/bulk_actions
"""

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Final, TypeAlias, Unpack

from oncue.protocol import durations, limits, names
from oncue.protocol.bulk_actions import (
    BulkAction,
    BulkActionKind,
    BulkActionPage,
    CreateBulkActionRequest,
)
from oncue.protocol.durations import Duration
from oncue.sdk import flows, polling, requests, run_filters, transport
from oncue.sdk.flows import Flow
from oncue.sdk.options import unknown
from oncue.sdk.run_filters import BulkFilters
from oncue.sdk.run_refs import RunRef, run_id_of

BulkActionRef: TypeAlias = str | BulkAction
"""A bulk action, by its id or as it was returned."""

_PAGE: Final = 100
"""Actions that are asked for at once."""


class BulkActions:
    """``runs.bulk``: what is done to many runs at one request."""

    def cancel(
        self, runs: Sequence[RunRef] | None = None, *, name: str | None = None, **filters: Unpack[BulkFilters]
    ) -> Coroutine[Any, Any, BulkAction]:
        """Cancel runs, and below them the runs they triggered: those of a list, or all in progress that match.

        Which runs these are is settled when this returns; they are cancelled afterwards, by the server.

        Args:
            runs: 1 to 500, by their ids or handles. One that has ended counts as a failure.
            name: For people, at most 255 characters.
            filters: As those of ``runs.list``; all must match. Instead of ``runs``, and at least one.

        Returns:
            The action as it stands; ``poll`` waits for its end.

        Raises:
            TypeError: There is no such filter.
            ValueError: A value makes no sense, or it is not said which runs are meant.

        Example::

            action = await runs.bulk.cancel(tag="import-41")
        """
        return transport.start(_made(_wish("cancel", runs, name, None, filters)), "runs.bulk.cancel")

    def replay(
        self,
        runs: Sequence[RunRef] | None = None,
        *,
        name: str | None = None,
        target_region: str | None = None,
        **filters: Unpack[BulkFilters],
    ) -> Coroutine[Any, Any, BulkAction]:
        """Trigger once more what runs were asked to do: those of a list, or all that match, in whatever state.

        Which runs these are is settled when this returns: what their replays come to is none of it. See
        ``runs.replay`` for what a replay takes over.

        Args:
            runs: 1 to 500, by their ids or handles.
            name: For people, at most 255 characters.
            target_region: Where replays run; None: each where its original was to.
            filters: As those of ``runs.list``; all must match. Instead of ``runs``, and at least one.

        Returns:
            The action as it stands; ``runs.list(bulk_action=action)`` lists the replays.

        Raises:
            TypeError: There is no such filter.
            ValueError: A value makes no sense, or it is not said which runs are meant.

        Example::

            action = await runs.bulk.replay(status="FAILED", task="sync-customer", period="1d")
        """
        return transport.start(_made(_wish("replay", runs, name, target_region, filters)), "runs.bulk.replay")

    def retrieve(self, action: BulkActionRef) -> Coroutine[Any, Any, BulkAction]:
        """Ask how far an action is.

        Raises:
            NotFound: There is no such action in this environment.

        Example::

            action = await runs.bulk.retrieve("bulk_06f4...")
            print(action.status, action.counts.success, action.counts.failure, action.counts.total)
        """
        return transport.start(flows.exchange(_retrieve(action)), "runs.bulk.retrieve")

    def poll(
        self, action: BulkActionRef, *, interval: Duration = "1s", timeout: Duration | None = None
    ) -> Coroutine[Any, Any, BulkAction]:
        """Ask again and again until an action is completed or aborted.

        Args:
            action: Its id, or as it was returned.
            interval: Between two questions.
            timeout: How long at most; None asks without end.

        Raises:
            NotFound: There is no such action in this environment.
            TimeoutError: It is not over in time; it goes on.

        Example::

            action = await runs.bulk.poll(action, timeout="10m")
        """
        return transport.start(_polled(action, interval, timeout), "runs.bulk.poll")

    def abort(self, action: BulkActionRef) -> Coroutine[Any, Any, None]:
        """Let no more runs of an action be gone through; what has been done stays.

        Raises:
            BadRequest: All its runs have been gone through.
            NotFound: There is no such action in this environment.

        Example::

            await runs.bulk.abort(action)
        """
        return transport.start(flows.exchange(_abort(action)), "runs.bulk.abort")

    def list(self) -> AsyncIterator[BulkAction]:
        """List actions, newest first, page after page as they are asked for.

        Example::

            async for action in runs.bulk.list():
                print(action.id, action.name, action.status)
        """

        async def pages() -> AsyncIterator[BulkAction]:
            after: str | None = None
            while True:
                page = await transport.start(flows.exchange(_page(after)), "runs.bulk.list")
                for action in page.data:
                    yield action
                after = page.pagination.next
                if after is None:
                    return

        return pages()


class BlockingBulkActions:
    """``runs.sync.bulk``: the same functions, blocking the thread."""

    def cancel(
        self, runs: Sequence[RunRef] | None = None, *, name: str | None = None, **filters: Unpack[BulkFilters]
    ) -> BulkAction:
        """Cancel runs: ``runs.sync.bulk.cancel(tag="import-41")``."""
        return transport.run(_made(_wish("cancel", runs, name, None, filters)))

    def replay(
        self,
        runs: Sequence[RunRef] | None = None,
        *,
        name: str | None = None,
        target_region: str | None = None,
        **filters: Unpack[BulkFilters],
    ) -> BulkAction:
        """Trigger once more what runs were asked to do: ``runs.sync.bulk.replay(status="FAILED", period="1d")``."""
        return transport.run(_made(_wish("replay", runs, name, target_region, filters)))

    def retrieve(self, action: BulkActionRef) -> BulkAction:
        """Ask how far an action is: ``runs.sync.bulk.retrieve("bulk_06f4...")``."""
        return transport.run(flows.exchange(_retrieve(action)))

    def poll(self, action: BulkActionRef, *, interval: Duration = "1s", timeout: Duration | None = None) -> BulkAction:
        """Ask until an action is over: ``runs.sync.bulk.poll(action, timeout="10m")``."""
        return transport.run(_polled(action, interval, timeout))

    def abort(self, action: BulkActionRef) -> None:
        """Let no more runs of an action be gone through: ``runs.sync.bulk.abort(action)``."""
        transport.run(flows.exchange(_abort(action)))

    def list(self) -> Iterator[BulkAction]:
        """List actions, newest first: ``for action in runs.sync.bulk.list(): ...``."""
        after: str | None = None
        while True:
            page = transport.run(flows.exchange(_page(after)))
            yield from page.data
            after = page.pagination.next
            if after is None:
                return


def _wish(
    kind: BulkActionKind,
    runs: Sequence[RunRef] | None,
    name: str | None,
    target_region: str | None,
    filters: BulkFilters,
) -> CreateBulkActionRequest:
    """Read which runs are meant: nothing said must not come to mean all of them."""
    if "limit" in filters:
        raise unknown("limit", tuple(BulkFilters.__annotations__), "filter")
    query = run_filters.read(filters)
    if (runs is None) == (not query.filters):
        found = "nothing" if runs is None else "runs and filters"
        raise ValueError(
            f"{found} given to runs.bulk.{kind}; expected either runs=[...] or a filter such as tag=..., "
            "to say which runs are meant"
        )
    if runs is not None and not 1 <= _count(runs) <= limits.MAX_BULK_RUN_IDS:
        raise ValueError(f"runs={runs!r} is not accepted; expected a list of 1 to {limits.MAX_BULK_RUN_IDS} runs")
    if name is not None and not names.is_storable(name):
        raise ValueError(f"name={name!r} is not accepted; expected a text")
    return CreateBulkActionRequest(
        action=kind,
        filter=None if runs is not None else run_filters.as_body(query),
        run_ids=None if runs is None else [run_id_of(run) for run in runs],
        name=name,
        target_region=target_region,
    )


def _count(runs: object) -> int:
    """Return how many runs a list has; of what is none 0."""
    return len(runs) if isinstance(runs, Sequence) and not isinstance(runs, str) else 0


def _made(wish: CreateBulkActionRequest) -> Flow[BulkAction]:
    return flows.exchange(requests.create_bulk_action(wish))


def _polled(action: BulkActionRef, interval: Duration, timeout: Duration | None) -> Flow[BulkAction]:
    return polling.repeated(
        _retrieve(action),
        is_over=lambda found: found.status != "PENDING",
        late=lambda found: f"bulk action {found.id} has been through {_done(found):,} of {found.counts.total:,} runs",
        limit_s=polling.seconds(timeout),
        wait_s=durations.read(interval, "interval").total_seconds(),
    )


def _done(action: BulkAction) -> int:
    return action.counts.success + action.counts.failure


def _retrieve(action: BulkActionRef) -> requests.Call[BulkAction]:
    return requests.retrieve_bulk_action(_id_of(action))


def _abort(action: BulkActionRef) -> requests.Call[None]:
    return requests.abort_bulk_action(_id_of(action))


def _page(after: str | None) -> requests.Call[BulkActionPage]:
    cursor = [] if after is None else [("page[after]", after)]
    return requests.get("/api/v1/bulk-actions", BulkActionPage, [("page[size]", str(_PAGE)), *cursor])


def _id_of(action: object) -> str:
    action_id = getattr(action, "id", action)
    if not isinstance(action_id, str) or not action_id:
        raise TypeError(f"{action!r} is not a bulk action; expected its id, or what runs.bulk returned")
    return action_id


sync: Final = BlockingBulkActions()
