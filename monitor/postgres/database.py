"""Sessions with PostgreSQL: one pool, and the point where the driver's errors end."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from monitor.domain.errors import ConfigurationError, DatabaseFaultError, DatabaseRefusesError, DatabaseUnavailableError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:  # At run time the driver's classes take no parameters.
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

# What statements read and take, named so that nobody else need know the driver.
Row: TypeAlias = asyncpg.Record
Values: TypeAlias = Mapping[str, Any]

CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
STATEMENT_TIMEOUT = 15.0
STATEMENT_TIMEOUT_MS = "15000"
# For a session to become free, and for a lock.
PATIENCE = 5.0
# A process that is frozen in mid-transaction must not keep the lease, or a server's row, locked.
IDLE_IN_TRANSACTION_MS = "3000"
# One that was about to prepare a statement is not idle for PostgreSQL; from this version on there is a limit for all.
TRANSACTION_TIMEOUT_MS = "20000"
TRANSACTION_TIMEOUT_SINCE = 17

# The session, the server behind it or the transaction is of no use any more; the next one may be. Whole classes of
# SQLSTATE: 08, 25, 40, 53, 54, 55, 57 and 58. A full disk is among them, a lock that was waited for too long, and a
# full queue of notifications: what could not be written now can be written later.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
)
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
# The server said no before a session began: wrong password, unknown database or role. Classes 28 and 3D.
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
# What to do about what cannot be done for the moment; the first kind that fits.
_ADVICE: tuple[tuple[type[BaseException], str], ...] = (
    (
        asyncpg.ReadOnlySQLTransactionError,
        "It can be read only: it is a standby, or default_transaction_read_only is set. Point "
        "OLLAMA_FLEET_DATABASE_URL to the primary, or end that setting.",
    ),
    (
        asyncpg.LockNotAvailableError,
        "Another session holds the lock: find it in pg_stat_activity, where it most often is idle in transaction, and "
        "end it.",
    ),
    (
        asyncpg.ProgramLimitExceededError,
        "If its queue of notifications is full, end the session that keeps it so: one that listens and has been in a "
        "transaction for long, as pg_stat_activity shows.",
    ),
    (asyncpg.DiskFullError, "Make room on its disk; what waits to be written is kept."),
    (asyncpg.TooManyConnectionsError, "Raise max_connections, or end sessions that nobody needs."),
)
_CHECK_IT_RUNS = "Check that it runs and accepts connections."


def describe(dsn: str) -> str:
    """Return where a DSN points to, without user and password, for messages."""
    require_url(dsn)
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2] or "the local socket"
    return f"{host}{parts.path}"


def require_url(dsn: str) -> None:
    """Raise `ConfigurationError` unless user, password, hosts and database can be told apart.

    Neither the DSN nor the parser's words about it are repeated: they may hold the password.
    """
    try:
        parts = urlsplit(dsn)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        usable = parts.scheme in {"postgresql", "postgres"} and all(map(_HOST.fullmatch, hosts))
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "OLLAMA_FLEET_DATABASE_URL is not of the form postgresql://user:password@host:port/database. "
            "Correct it; in user and password each of the characters % @ : / ? # [ ] is written as %25, %40 and so on."
        )


async def connect_driver(dsn: str, **settings: Any) -> Connection:
    """Connect to the first host of a DSN that can be used, each with its share of the time.

    The driver alone gives all hosts one limit together, which a silent first one uses up every time.
    """
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    addresses = [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]
    if len(addresses) == 1:
        addresses = [dsn]
    settings["timeout"] = CONNECT_TIMEOUT / len(addresses)
    for address in addresses[:-1]:
        with suppress(*LOST):
            return await asyncpg.connect(address, **settings)
    return await asyncpg.connect(addresses[-1], **settings)


async def connect(dsn: str, *, name: str, statement_cache_size: int = 100) -> Connection:
    """Open one session outside any pool; `name` is its application_name.

    Raises `DatabaseUnavailableError` when PostgreSQL is away, and its `DatabaseRefusesError` when it lets us not in.
    """
    require_url(dsn)
    with translated(dsn):
        connection = await connect_driver(
            dsn,
            command_timeout=STATEMENT_TIMEOUT,
            statement_cache_size=statement_cache_size,
            server_settings={"application_name": name},
        )
        await set_up(connection)
    return connection


async def set_up(connection: Connection) -> None:
    """Teach a session to speak jsonb as Python values."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads, format="text")


async def _nothing_to_reset(_connection: object) -> None:
    """Save the statement that would clear a returned session: ours set nothing that outlives a transaction."""


class translated:
    """Turns the driver's errors about a lost or refused session into the fleet's own, chained."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise the fleet's error in place of the driver's."""
        if isinstance(error, REFUSED):
            raise DatabaseRefusesError(
                f"PostgreSQL at {describe(self._dsn)} refuses us: {_first_line(error)}. "
                "Check user, password and database in OLLAMA_FLEET_DATABASE_URL."
            ) from error
        if isinstance(error, asyncpg.ClientConfigurationError):  # An InterfaceError too, but trying again is no use.
            raise DatabaseRefusesError(
                f"OLLAMA_FLEET_DATABASE_URL is not usable: {_first_line(error)}. Correct it, and start again."
            ) from error
        if isinstance(error, LOST):
            advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), _CHECK_IT_RUNS)
            raise DatabaseUnavailableError(
                f"PostgreSQL at {describe(self._dsn)} cannot be used right now: {_first_line(error)}. {advice}"
            ) from error
        if isinstance(error, asyncpg.InternalServerError):
            raise DatabaseFaultError(
                f"PostgreSQL at {describe(self._dsn)} reports a fault of its own: {_first_line(error)}. "
                "Its log says more; its files may be damaged."
            ) from error


# Python's, before the words that say the same.
_ERROR_NUMBER = re.compile(r"^\[Errno -?[0-9]+\] ")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return _ERROR_NUMBER.sub("", text.splitlines()[0]).rstrip(".")


class Database:
    """A pool of sessions that may be opened while PostgreSQL is away."""

    def __init__(
        self,
        dsn: str,
        *,
        name: str,
        size: int = 10,
        behind_pooler: bool = False,
        patience: float | None = PATIENCE,
        lock_timeout: float = PATIENCE,
    ) -> None:
        """`behind_pooler`: a transaction pooler stands in between, so no prepared statement is kept.

        `patience` is how many seconds a session is waited for at most, None for as long as it takes, and
        `lock_timeout` how many a statement waits for a lock.
        """
        self.dsn = dsn
        self._name = name
        self._size = size
        self._cache = 0 if behind_pooler else 100
        # Waiting for one's turn is not the database's fault, so it does not count as connecting.
        self._turns = asyncio.Semaphore(size)
        self._patience = patience
        self._lock_timeout_ms = str(round(lock_timeout * 1000))
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Prepare the pool; no session is opened before the first use.

        Raises `ConfigurationError` when the DSN cannot be read.
        """
        require_url(self.dsn)
        with translated(self.dsn):
            self._pool = await asyncpg.create_pool(  # type: ignore[call-overload]  # stubs: each setting by name
                self.dsn,
                min_size=0,
                max_size=self._size,
                connect=connect_driver,
                command_timeout=STATEMENT_TIMEOUT,
                statement_cache_size=self._cache,
                init=self._set_up,
                reset=_nothing_to_reset,
                server_settings={
                    "application_name": self._name,
                    "statement_timeout": STATEMENT_TIMEOUT_MS,
                    "lock_timeout": self._lock_timeout_ms,
                    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
                },
            )

    async def _set_up(self, connection: Connection) -> None:
        await set_up(connection)
        # Behind a pooler it would stay with a session that others use next.
        if connection.get_server_version().major >= TRANSACTION_TIMEOUT_SINCE and self._cache:
            await connection.execute(f"SET transaction_timeout = {TRANSACTION_TIMEOUT_MS}")

    async def close(self) -> None:
        """Close all sessions; those still busy after 2 s are cut."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @property
    def sessions(self) -> tuple[int, int]:
        """How many sessions are in use, and how many are open but idle."""
        if self._pool is None:
            return 0, 0
        idle = self._pool.get_idle_size()
        return self._pool.get_size() - idle, idle

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Lend one session, as soon as one of them is free.

        Raises `DatabaseUnavailableError` when none becomes free, or it cannot be opened, or is lost in use.
        """
        if self._pool is None:
            raise DatabaseUnavailableError("The connection to PostgreSQL is not open yet.")
        async with self._turn():
            with translated(self.dsn):
                try:
                    async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
                        yield connection  # type: ignore[misc]
                except asyncpg.ReadOnlySQLTransactionError:
                    await self._pool.expire_connections()
                    raise

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailableError(
                f"All {self._size} sessions with PostgreSQL at {describe(self.dsn)} are in use, and none became free "
                f"within {self._patience:.0f} s. See in pg_stat_activity what they wait for."
            ) from error
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend one session inside a transaction that commits when the block ends well."""
        async with self.session() as connection, connection.transaction():
            yield connection
