"""Many transactions as savepoints of one: all of them are kept, or, when something fails on the way, none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.postgres.database import Connection, Database


class _Savepoints(Database):
    """A database that lends the one session of a transaction under way; a transaction of it is a savepoint."""

    def __init__(self, dsn: str, connection: Connection) -> None:
        super().__init__(dsn, name="", size=1)
        self._connection = connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Lend the session."""
        yield self._connection


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[Database]:
    """Lend a database whose transactions become true together, when the block ends well.

    One that is refused is undone alone, and the others go on. For one task at a time.
    """
    async with database.transaction() as connection:
        yield _Savepoints(database.dsn, connection)
