"""Pool: connections to PostgreSQL and the transactions on them.

Isolation is READ COMMITTED and said so in each BEGIN: every statement of the engine locks what it changes in a stated
order, so a stricter level would only add failures. A transaction is open for the statements of one engine call, never
while user code runs.

``json`` and ``jsonb`` travel as ``str``, ``bytea`` as ``bytes``, ``timestamptz`` as aware ``datetime``: the driver's
own ways, with no codec of ours that each new connection would have to ask the server about.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction

from oncue.store.embedded.binaries import OLDEST_MAJOR
from oncue.store.errors import DatabaseUnavailable, ServerTooOld

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Tx: TypeAlias = Connection | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Tx = asyncpg.Connection | PoolConnectionProxy
    Pool = asyncpg.Pool
"""``Tx`` is a connection inside a transaction; whoever takes one neither commits nor keeps it."""

T = TypeVar("T")

_APPLICATION: Final = "oncue"
_CONNECT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.01
_BEGIN_TRIES: Final = 3
"""A server that restarted leaves dead connections in the pool, which the driver notices only when it uses them."""
_CACHED_STATEMENTS: Final = 512
"""Per connection; more than oncue has, so that each is planned once."""

_PLANNER: Final = {
    # Planning the claim takes longer than running it: plan each statement once a connection, whatever its parameters.
    "plan_cache_mode": "force_generic_plan",
    # Every statement looks rows up by key in small groups. Guessing from stale statistics, the planner would rather
    # read the whole table: 15 ms for a claim of 100 with 20,000 runs in line, instead of 1.5.
    "enable_seqscan": "off",
    "random_page_cost": "1.1",
    "jit": "off",
}
"""How PostgreSQL plans on these connections."""

_CUT: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # The driver's answer when the server's farewell arrived between two statements.
    asyncpg.InternalClientError,
)
"""What a statement raises when its connection breaks."""

_AWAY: Final = (*_CUT, OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
"""What connecting raises when the server is down, starting, stopping, or full."""

_REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
"""What connecting raises when the address is wrong; trying again will not help."""


class _UnresetConnection(asyncpg.Connection):
    """A connection that returns to the pool as it is.

    The driver's RESET ALL and its companions would cost each transaction another round trip. Nothing in oncue leaves
    anything on a session: settings and advisory locks end with their transaction, and listening has its own connection.
    """

    def get_reset_query(self) -> str:
        """Return no statement at all."""
        return ""


async def open_pool(url: str, *, min_size: int = 1, max_size: int = 10) -> Pool:
    """Connect to PostgreSQL with a pool of connections; close it with ``await pool.close()``.

    Args:
        url: A DSN, ``postgresql://user:password@host:port/database``.
        min_size: Connections to open now, 0 to ``max_size``.
        max_size: The most that are open at once.

    Raises:
        DatabaseUnavailable: There is no answer, or it says no.
        ServerTooOld: The server is older than PostgreSQL 15.
    """
    with _connecting(url):
        return await asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=_CONNECT_SECONDS,
            statement_cache_size=_CACHED_STATEMENTS,
            max_cached_statement_lifetime=0,
            connection_class=_UnresetConnection,
            server_settings={"application_name": _APPLICATION, **_PLANNER},
            init=_refuse_old,
        )


async def connect(url: str) -> Connection:
    """Open one connection outside any pool, for what holds it long; close it with ``await connection.close()``.

    Raises:
        DatabaseUnavailable: There is no answer, or it says no.
        ServerTooOld: The server is older than PostgreSQL 15.
    """
    with _connecting(url):
        connection = await asyncpg.connect(
            url, timeout=_CONNECT_SECONDS, server_settings={"application_name": _APPLICATION}
        )
    try:
        await _refuse_old(connection)
    except ServerTooOld:
        await connection.close()
        raise
    return connection


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Tx]:
    """Lend a connection inside a transaction: committed at the end of the block, rolled back if it raises.

    Raises:
        DatabaseUnavailable: There is no connection, or it broke. If it broke at the end, the work may be committed.
    """
    connection, begun = await _begin(pool)
    try:
        async with AsyncExitStack() as end:
            end.push_async_exit(begun)
            yield connection
    except _CUT as error:
        raise DatabaseUnavailable(f"the connection to PostgreSQL broke: {error}") from error
    except asyncpg.InterfaceError as error:
        if _is_closed(connection):
            raise DatabaseUnavailable(f"the connection to PostgreSQL broke: {error}") from error
        raise
    finally:
        await pool.release(connection)


async def in_transaction(pool: Pool, work: Callable[[Tx], Awaitable[T]], *, attempts: int = 5) -> T:
    """Run work in a transaction, again from its beginning if PostgreSQL chose it as the victim of a deadlock.

    Args:
        pool: Where the connection comes from.
        work: What to do; it must leave nothing behind outside the transaction.
        attempts: How often to try, at least 1; the pause before the n-th retry is random, up to 10 ms x 2^n.

    Returns:
        What ``work`` returned in the attempt that was committed.

    Raises:
        DatabaseUnavailable: There is no connection, or it broke.
    """
    for attempt in range(1, attempts + 1):
        try:
            async with transaction(pool) as tx:
                return await work(tx)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            if attempt == attempts:
                raise
        await asyncio.sleep(random.uniform(0, _FIRST_PAUSE_SECONDS * 2**attempt))  # noqa: S311 - only spreads callers
    raise ValueError(f"attempts is {attempts}; at least 1 is needed")


async def _begin(pool: Pool) -> "tuple[PoolConnectionProxy[asyncpg.Record], Transaction]":
    """Begin on a connection of the pool, passing over those that turn out to be dead."""
    tries_left = _BEGIN_TRIES
    while True:
        try:
            connection = await pool.acquire()
        except _AWAY as error:
            raise DatabaseUnavailable(f"PostgreSQL does not answer: {_reason(error)}") from error
        begun = connection.transaction(isolation="read_committed")
        try:
            await begun.__aenter__()
        except BaseException as error:
            dead = isinstance(error, (*_CUT, asyncpg.InterfaceError, OSError))
            if dead and not _is_closed(connection):
                connection.terminate()
            await pool.release(connection)
            tries_left -= 1
            if not dead:
                raise
            if tries_left == 0:
                raise DatabaseUnavailable(f"PostgreSQL does not answer: {_reason(error)}") from error
        else:
            return connection, begun


def _is_closed(connection: "PoolConnectionProxy[asyncpg.Record]") -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back already
        return True


@contextmanager
def _connecting(url: str) -> Iterator[None]:
    """Turn the driver's ways to say that there is no connection into one, with advice."""
    try:
        yield
    except _REFUSED as error:
        raise DatabaseUnavailable(f"PostgreSQL at {_place(url)} refuses: {error}; check DATABASE_URL") from error
    except (*_AWAY, ValueError) as error:
        message = f"no PostgreSQL answers at {_place(url)}: {_reason(error)}; start it, or check DATABASE_URL"
        raise DatabaseUnavailable(message) from error


async def _refuse_old(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_MAJOR:
        raise ServerTooOld(f"the server is PostgreSQL {version.major}; oncue needs {OLDEST_MAJOR} or newer")


def _place(url: str) -> str:
    """Return the part of a DSN that may be shown."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 5432
    except ValueError:
        return "an address that cannot be read"
    return f"{host}:{port}{parts.path}"


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
