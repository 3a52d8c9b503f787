"""Services: what the handlers of one server share, opened and closed together.

Two pools: traffic (triggers, outcomes, batches, reading, rate limits) and control (claims, heartbeats, keys, upkeep,
health), so that a flood of the first cannot starve the second. ``write`` is how a handler makes its engine call: one
transaction, whose effects are applied after COMMIT.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, TypeAlias, TypeVar

from oncue import telemetry
from oncue.api import relay
from oncue.api.auth import Keys
from oncue.api.coalescing import Coalescer
from oncue.api.feeds import Feeds
from oncue.api.kinds import Kinds
from oncue.api.packets import Packets
from oncue.api.polls import Polls
from oncue.api.rate_limiting import RateLimits
from oncue.api.relay import Relay
from oncue.api.settings import ServerSettings
from oncue.api.signing import Signer
from oncue.api.sources import Source
from oncue.api.tails import Tails
from oncue.api.unread import Unread
from oncue.api.upkeep import Upkeep
from oncue.api.wakeups import CHANNEL, Wakeups
from oncue.engine import environments, rate_limits, run_streams, signing_keys, triggering, upkeep
from oncue.engine.environments import KeyHolder, Storage
from oncue.engine.events import Effects
from oncue.engine.rate_limits import BATCH_ITEMS, PUBLIC_REQUESTS, REQUESTS, Bucket, Kind, Owner, RateLimit, Wanted
from oncue.engine.requests import NewRun
from oncue.engine.rows import Environment
from oncue.engine.run_streams import Chunk, Name, Tail
from oncue.engine.signing_keys import SigningKey
from oncue.engine.triggering import Triggered
from oncue.protocol.errors import ApiError
from oncue.store.listen import Listener, notify
from oncue.store.migrate import migrate
from oncue.store.objects import open_objects
from oncue.store.pool import Pool, Tx, connect, in_transaction, open_pool, transaction

T = TypeVar("T")
Triggers: TypeAlias = Coalescer[Environment, NewRun, Triggered]


_HEARTBEATS_OF_PATIENCE: Final = 3
"""After a start or an outage workers get so many heartbeats' time to say that they are alive."""


class Services:
    """A running server, as its handlers see it.

    Attributes:
        settings: What it was told.
        traffic: Connections for what callers send.
        control: Connections that are kept for workers and health.
        signer: Signs public access tokens.
        keys: Who may call.
        packets: Documents that are too large for a row.
        rate_limits: How often they may.
        triggers: Where single triggers meet.
        polls: Claims held open.
        kinds: Which workers stand for each other.
        upkeep: What happens although nobody calls.
        wakeups: Tells what has been committed to who must hear of it.
        feeds: What subscribers have seen.
        tails: Where streams that are followed end for now.
        relay: Tells which runs changed to servers with subscribers.
    """

    def __init__(self, settings: ServerSettings, traffic: Pool, control: Pool) -> None:
        self.settings, self.traffic, self.control = settings, traffic, control
        self._sending: set[asyncio.Task[None]] = set()
        self.signer = Signer(self._signing_keys)
        self.keys = Keys(self._find_key, self._find_key_by_id, self.signer)
        self.packets = Packets(open_objects(settings.objects), lifetime=settings.address_lifetime, find=self._storages)
        self.rate_limits = RateLimits(
            {
                REQUESTS: settings.rate_limit_requests,
                PUBLIC_REQUESTS: settings.rate_limit_public_requests,
                BATCH_ITEMS: settings.rate_limit_batch_items,
            },
            take=self._take_tokens,
            give_back=self._give_tokens_back,
        )
        self.triggers: Triggers = Coalescer(
            self._trigger, largest=settings.trigger_group, at_once=settings.trigger_flushes
        )
        self.polls = Polls()
        self.kinds = Kinds()
        self.upkeep = Upkeep(
            control,
            apply=self.apply,
            patience=_HEARTBEATS_OF_PATIENCE * settings.heartbeat,
            chores=upkeep.chores(
                max_recoveries=settings.max_recoveries, keep=settings.retention, objects=self.packets.objects
            ),
        )
        self.wakeups = Wakeups(
            self.polls, send=self._notify, on_due_sooner=self.upkeep.wake, on_keys_changed=self.keys.forget
        )
        self.relay = Relay(
            send=self._notify_changes,
            on_changed=self._touch,
            on_streamed=self._touch_streams,
            on_missed=self._refresh,
        )
        self.unread = Unread()
        self.tails = Tails(
            read_tail=self._read_tail,
            read_chunks=self._read_chunks,
            on_join=self.relay.join,
            on_leave=self.relay.leave,
        )
        self.feeds = Feeds(
            Source(self.read),
            on_join=self.relay.join,
            on_leave=self.relay.leave,
        )

    async def read(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Make an engine call that changes nothing."""
        async with transaction(self.traffic) as tx:
            return await work(tx)

    async def write(self, work: Callable[[Tx, Effects], Awaitable[T]], *, pool: Pool | None = None) -> T:
        """Make an engine call in a transaction, and apply its effects once that is committed.

        Args:
            work: The call; made again from its start if PostgreSQL broke a deadlock at its cost.
            pool: ``traffic`` unless said otherwise.
        """

        async def attempt(tx: Tx) -> tuple[T, Effects]:
            effects = Effects()
            return await work(tx, effects), effects

        result, effects = await in_transaction(pool or self.traffic, attempt)
        self.apply(effects)
        return result

    def apply(self, effects: Effects) -> None:
        """Tell everybody what a committed transaction changed."""
        for event, fields in effects.told:
            telemetry.event(event, **fields)
        self.relay.apply(effects.changed, effects.streamed)
        # Told already; what is kept to be told to others is not to grow by it.
        effects.changed.clear()
        effects.streamed.clear()
        self.wakeups.apply(effects)

    def miss(self) -> None:
        """Act as if everything had changed: the connection that listens was lost and is back."""
        self.wakeups.miss()
        self.relay.miss()

    def drain(self) -> None:
        """Answer what is held at once, and hold no more: the server is about to stop."""
        self.polls.close()
        self.feeds.close()
        self.tails.close()
        for sending in self._sending:
            sending.cancel()

    @contextmanager
    def cancelled_by_drain(self, sending: asyncio.Task[None]) -> Iterator[None]:
        """Cancel a task when the server is about to stop, within the block: its client may never read what it sends."""
        self._sending.add(sending)
        try:
            yield
        finally:
            self._sending.discard(sending)

    async def _find_key(self, digest: bytes) -> KeyHolder | None:
        async with transaction(self.control) as tx:
            return await environments.authenticate(tx, digest)

    async def _find_key_by_id(self, key: int) -> KeyHolder | None:
        async with transaction(self.control) as tx:
            return await environments.key_in_force(tx, key)

    async def _signing_keys(self) -> Sequence[SigningKey]:
        async with transaction(self.control) as tx:
            return await signing_keys.in_force(tx)

    async def _storages(self) -> Sequence[Storage]:
        return await self.read(environments.storages)

    async def _take_tokens(self, owner: Owner, kind: Kind, limit: RateLimit, wanted: Wanted) -> Bucket:
        async with transaction(self.traffic) as tx:
            return await rate_limits.take(tx, owner, kind, limit, wanted)

    async def _give_tokens_back(self, owner: Owner, kind: Kind, limit: RateLimit, amount: float) -> None:
        async with transaction(self.traffic) as tx:
            await rate_limits.give_back(tx, owner, kind, limit, amount)

    async def _trigger(self, environment: Environment, runs: Sequence[NewRun]) -> Sequence[Triggered | ApiError]:
        return await self.write(lambda tx, effects: triggering.trigger_many(tx, environment, runs, effects=effects))

    async def _notify(self, payload: str) -> None:
        async with transaction(self.control) as tx:
            await notify(tx, CHANNEL, payload)

    def _touch(self, environment: int, runs: Collection[uuid.UUID]) -> None:
        self.feeds.touch(environment, runs)
        # A stream ends with its run.
        self.tails.touch(environment, runs)

    def _touch_streams(self, environment: int, runs: Collection[uuid.UUID]) -> None:
        self.tails.touch(environment, runs)

    def _refresh(self, environment: int | None) -> None:
        self.feeds.refresh(environment)
        self.tails.refresh(environment)

    async def _notify_changes(self, payloads: list[str]) -> None:
        async with transaction(self.control) as tx:
            await notify(tx, relay.CHANNEL, *payloads)

    async def _read_tail(self, environment: int, run: uuid.UUID, name: Name) -> Tail:
        return await self.read(lambda tx: run_streams.read_tail(tx, environment, run, name))

    async def _read_chunks(self, environment: int, run: uuid.UUID, name: Name, first: int) -> list[Chunk]:
        return await self.read(lambda tx: run_streams.read(tx, environment, run, name, first=first))


@asynccontextmanager
async def running(settings: ServerSettings) -> AsyncIterator[Services]:
    """Bring the database up to date, open what a server needs, and close it in the end.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
        MigrationError: The schema could not be brought up to date.
        ObjectsMisconfigured: There is no such object store.
        BadRequest: The bootstrap key has the wrong shape.
    """
    await _prepare(settings)
    async with AsyncExitStack() as stack:
        control = await open_pool(settings.database_url, min_size=1, max_size=settings.control_connections)
        stack.push_async_callback(control.close)
        traffic = await open_pool(settings.database_url, min_size=1, max_size=settings.traffic_connections)
        stack.push_async_callback(traffic.close)
        services = Services(settings, traffic, control)
        heard = {CHANNEL: services.wakeups.hear, relay.CHANNEL: services.relay.hear}
        listener = Listener(settings.database_url, heard, on_reconnect=services.miss)
        stack.push_async_callback(services.wakeups.close)
        stack.push_async_callback(services.relay.close)
        await stack.enter_async_context(listener)
        services.relay.start()
        services.upkeep.start()
        probing = asyncio.create_task(services.packets.probe(), name="oncue-objects-probe")
        stack.callback(probing.cancel)
        stack.push_async_callback(services.upkeep.stop)
        stack.push_async_callback(services.triggers.close)
        stack.callback(services.drain)
        yield services


async def _prepare(settings: ServerSettings) -> None:
    connection = await connect(settings.database_url)
    try:
        await migrate(connection)
        async with connection.transaction(isolation="read_committed"):
            await environments.ensure_default_project(connection)
            await signing_keys.ensure(connection)
            if settings.bootstrap_key is not None:
                named = settings.bootstrap_key.removeprefix("tr_").partition("_")[0]
                await environments.create_key(connection, named, name="bootstrap", secret=settings.bootstrap_key)
    finally:
        await connection.close()
