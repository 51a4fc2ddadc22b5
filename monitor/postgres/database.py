"""Sessions with PostgreSQL: one pool, and the point where the driver's errors end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from monitor.domain.errors import ConfigurationError, DatabaseUnavailableError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:  # At run time the driver's classes take no parameters.
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
STATEMENT_TIMEOUT = 15.0
STATEMENT_TIMEOUT_MS = "15000"

# The session, the server behind it or the transaction is of no use any more; the next one may be.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
)
# The server said no before a session began: wrong password, unknown database or role.
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


def describe(dsn: str) -> str:
    """Return where a DSN points to, without user and password, for messages."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2] or "the local socket"
    return f"{host}{parts.path}"


async def connect(dsn: str, *, name: str, statement_cache_size: int = 100) -> Connection:
    """Open one session outside any pool; `name` is its application_name.

    Raises `DatabaseUnavailableError` when PostgreSQL is away, `ConfigurationError` when it refuses us.
    """
    with translated(dsn):
        connection: Connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT,
            command_timeout=STATEMENT_TIMEOUT,
            statement_cache_size=statement_cache_size,
            server_settings={"application_name": name},
        )
        await set_up(connection)
    return connection


async def set_up(connection: Connection) -> None:
    """Teach a session to speak jsonb as Python values."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads, format="text")


class translated:
    """Turns the driver's errors about a lost or refused session into the fleet's own, chained."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise the fleet's error in place of the driver's."""
        if isinstance(error, REFUSED):
            raise ConfigurationError(
                f"PostgreSQL at {describe(self._dsn)} refuses us: {_first_line(error)}. "
                "Check user, password and database in OLLAMA_FLEET_DATABASE_URL."
            ) from error
        if isinstance(error, LOST):
            raise DatabaseUnavailableError(
                f"PostgreSQL at {describe(self._dsn)} cannot be used right now: {_first_line(error)}. "
                "Check that it runs and accepts connections; we keep trying."
            ) from error
        if isinstance(error, ValueError) and type(error).__module__.startswith("asyncpg"):
            raise ConfigurationError(f"OLLAMA_FLEET_DATABASE_URL is not usable: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


class Database:
    """A pool of sessions that may be opened while PostgreSQL is away."""

    def __init__(self, dsn: str, *, name: str, size: int = 10, behind_pooler: bool = False) -> None:
        """`behind_pooler`: a transaction pooler stands in between, so no prepared statement is kept."""
        self.dsn = dsn
        self._name = name
        self._size = size
        self._cache = 0 if behind_pooler else 100
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Prepare the pool; no session is opened before the first use."""
        with translated(self.dsn):
            self._pool = await asyncpg.create_pool(
                self.dsn,
                min_size=0,
                max_size=self._size,
                timeout=CONNECT_TIMEOUT,
                command_timeout=STATEMENT_TIMEOUT,
                statement_cache_size=self._cache,
                init=set_up,
                server_settings={"application_name": self._name, "statement_timeout": STATEMENT_TIMEOUT_MS},
            )

    async def close(self) -> None:
        """Close all sessions; those still busy after 2 s are cut."""
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_TIMEOUT)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Lend one session; raises `DatabaseUnavailableError` when there is none or it is lost in use."""
        if self._pool is None:
            raise DatabaseUnavailableError("The connection to PostgreSQL is not open yet.")
        with translated(self.dsn):
            try:
                async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
                    yield connection  # type: ignore[misc]
            except asyncpg.ReadOnlySQLTransactionError:
                await self._pool.expire_connections()
                raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend one session inside a transaction that commits when the block ends well."""
        async with self.session() as connection, connection.transaction():
            yield connection
