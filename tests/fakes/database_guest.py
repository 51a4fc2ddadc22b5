"""A role of PostgreSQL that can be locked out for a while, as an operator, a fail-over or a new password does it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection

ROLE = "guest_of_the_test"
END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1"
# What begins it, and what ends it.
TROUBLE = {
    "a role that may not log in": (f"ALTER ROLE {ROLE} NOLOGIN", f"ALTER ROLE {ROLE} LOGIN"),
    "a role that may have no session": (
        f"ALTER ROLE {ROLE} CONNECTION LIMIT 0",
        f"ALTER ROLE {ROLE} CONNECTION LIMIT -1",
    ),
    "a database that takes no connections": (
        "ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        "ALTER DATABASE {database} ALLOW_CONNECTIONS true",
    ),
}


class DatabaseGuest:
    """The role; `dsn` is the address of the test's database for it."""

    def __init__(self, owner: Connection, dsn: str) -> None:
        self._owner = owner
        self._database = dsn.rpartition("/")[2].partition("?")[0]
        self.dsn = dsn.replace("fleet@", f"{ROLE}@", 1)

    @asynccontextmanager
    async def locked_out(self, trouble: str) -> AsyncIterator[None]:
        """Have the database refuse the role in one of the ways of `TROUBLE`, and end the sessions it has."""
        begin, end = (statement.format(database=self._database) for statement in TROUBLE[trouble])
        await self._owner.execute(begin)
        try:
            await self._owner.execute(END_SESSIONS, ROLE)
            yield
        finally:
            await self._owner.execute(end)


@asynccontextmanager
async def staying(postgres: EmbeddedServer, dsn: str) -> AsyncIterator[DatabaseGuest]:
    """Make the role, which may do what the owner of the tables may, and drop it in the end."""
    owner: Connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        await owner.execute(f"DROP ROLE IF EXISTS {ROLE}")
        await owner.execute(f"CREATE ROLE {ROLE} LOGIN IN ROLE fleet")
        yield DatabaseGuest(owner, dsn)
        await owner.execute(END_SESSIONS, ROLE)
        await owner.execute(f"DROP ROLE {ROLE}")
    finally:
        await owner.close()
