"""Shapes: which runs a subscription is about, and which subscriptions a changed run concerns.

Life of a run, this module's part::

    api/routes/realtime -> Shape -> Index.add; a changed run -> Index.wanted, Index.matching -> api/feeds
"""

import datetime
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar, assert_never

import msgspec

from oncue.engine import realtime
from oncue.engine.realtime import Outline, ShapeRow
from oncue.protocol import ids
from oncue.store.pool import Tx

T = TypeVar("T")


class OneRun(msgspec.Struct, frozen=True):
    """One run."""

    run: uuid.UUID


class TaggedRuns(msgspec.Struct, frozen=True):
    """Runs that came since a moment and have all of some tags; without tags, all of them."""

    tags: tuple[str, ...]
    since: datetime.datetime


class BatchRuns(msgspec.Struct, frozen=True):
    """The runs of a batch's items."""

    batch: uuid.UUID


Shape: TypeAlias = OneRun | TaggedRuns | BatchRuns

_ANY: Final = ""
"""Stands for a tag where none is asked for; no run has it."""


SeveralRuns: TypeAlias = TaggedRuns | BatchRuns


async def read(tx: Tx, environment_id: int, shape: Shape, *, documents: bool) -> list[ShapeRow]:
    """Return all rows of a shape, at most ``MAX_REALTIME_ROWS``, with at most ``MAX_SNAPSHOT_BYTES`` of documents."""
    if isinstance(shape, OneRun):
        return await realtime.read_rows(tx, environment_id, [shape.run], documents=documents)
    outlines = await outline(tx, environment_id, shape)
    return await realtime.read_outlined(tx, environment_id, outlines, documents=documents)


async def outline(tx: Tx, environment_id: int, shape: SeveralRuns) -> list[Outline]:
    """Return outlines of all rows of a shape, at most ``MAX_REALTIME_ROWS``."""
    match shape:
        case TaggedRuns(tags=tags, since=since):
            return await realtime.outline_tagged(tx, environment_id, tags, since=since)
        case BatchRuns(batch=batch):
            return await realtime.outline_batch(tx, environment_id, batch)
        case _:
            assert_never(shape)


class Index(Generic[T]):
    """Subscriptions of one environment by what they are about, so that a change costs those alone that it concerns."""

    def __init__(self) -> None:
        """Begin empty."""
        self._runs: dict[uuid.UUID, set[T]] = {}
        self._batches: dict[uuid.UUID, set[T]] = {}
        self._tags: dict[str, dict[tuple[str, ...], dict[T, TaggedRuns]]] = {}

    def add(self, shape: Shape, subscription: T) -> None:
        """Take one in."""
        match shape:
            case OneRun(run=run):
                self.link(run, subscription)
            case TaggedRuns():
                self._tags.setdefault(_rarest(shape), {}).setdefault(shape.tags, {})[subscription] = shape
            case BatchRuns(batch=batch):
                self._batches.setdefault(_head(batch), set()).add(subscription)
            case _:
                assert_never(shape)

    def remove(self, shape: Shape, subscription: T, linked: Iterable[uuid.UUID]) -> None:
        """Let one go, with the runs that it was linked to."""
        match shape:
            case OneRun(run=run):
                _discard(self._runs, run, subscription)
            case TaggedRuns():
                alike = self._tags[_rarest(shape)]
                alike[shape.tags].pop(subscription, None)
                if not alike[shape.tags]:
                    del alike[shape.tags]
                if not alike:
                    del self._tags[_rarest(shape)]
            case BatchRuns(batch=batch):
                _discard(self._batches, _head(batch), subscription)
                for run in linked:
                    _discard(self._runs, run, subscription)
            case _:
                assert_never(shape)

    def link(self, run: uuid.UUID, subscription: T) -> None:
        """Let a subscription be about a run too that its shape does not name by its id."""
        self._runs.setdefault(run, set()).add(subscription)

    def wanted(self, runs: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        """Return those of changed runs that have to be read to know whom they concern, or that somebody awaits."""
        if self._tags:
            return runs
        return [run for run in runs if run in self._runs or _head(run) in self._batches]

    def of_batch(self, run: uuid.UUID) -> Collection[T]:
        """Return who is about the batch of which an id is an item's."""
        return self._batches.get(_head(run), ())

    def matching(self, run: ShapeRow | Outline) -> Iterator[T]:
        """Yield the subscriptions that a run belongs to; one may come twice."""
        yield from self._runs.get(run.id, ())
        yield from self._batches.get(_head(run.id), ())
        for tag in (_ANY, *run.tags):
            for tags, alike in self._tags.get(tag, {}).items():
                # Once for all who ask for the same tags.
                if set(tags) <= set(run.tags):
                    yield from (each for each, shape in alike.items() if run.created_at >= shape.since)

    @property
    def named(self) -> Collection[uuid.UUID]:
        """The runs that subscriptions name."""
        return self._runs.keys()

    @property
    def has_tags(self) -> bool:
        """Whether it takes a run's tags to know whom it concerns."""
        return bool(self._tags)

    @property
    def tags(self) -> Collection[str] | None:
        """Tags of which each run that concerns somebody by its tags has one; None: it may have none."""
        return None if _ANY in self._tags else self._tags.keys()


def _rarest(shape: TaggedRuns) -> str:
    """Return the tag under which a shape is found: one is enough, for a run must have them all."""
    return max(shape.tags, key=len, default=_ANY)


def _head(value: uuid.UUID) -> uuid.UUID:
    """Return what a batch's id and those of its items' runs have in common."""
    return ids.item_run_id(value, 0)


def _discard(places: dict[uuid.UUID, set[T]], at: uuid.UUID, subscription: T) -> None:
    found = places.get(at)
    if found is not None:
        found.discard(subscription)
        if not found:
            del places[at]
