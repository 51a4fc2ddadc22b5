"""Which schema this program knows, whether the database has it, and the way there."""

from monitor.domain.errors import SchemaMismatchError
from monitor.postgres import database, tables
from monitor.postgres.database import Connection

KNOWN = "002"

VERSION_TABLE = f"SELECT to_regclass('{tables.VERSION_TABLE}') IS NOT NULL"
VERSION = f"SELECT version_num FROM {tables.VERSION_TABLE}"


async def current(connection: Connection) -> str | None:
    """Return the revision the database is at, None for an empty one."""
    if not await connection.fetchval(VERSION_TABLE):
        return None
    version: str | None = await connection.fetchval(VERSION)
    return version


async def verify(connection: Connection) -> None:
    """Raise `SchemaMismatchError` unless the database is at the revision this program knows."""
    found = await current(connection)
    if found == KNOWN:
        return
    if found is None:
        raise SchemaMismatchError(
            "The database holds no ollama-fleet schema yet: run `ollama-fleet migrate` once, then start again."
        )
    if found < KNOWN:
        raise SchemaMismatchError(
            f"The database schema is at {found}, older than the {KNOWN} this program needs: "
            "run `ollama-fleet migrate`, then start again."
        )
    raise SchemaMismatchError(
        f"The database schema is at {found}, newer than the {KNOWN} this program knows: "
        "install the ollama-fleet version that last ran `ollama-fleet migrate`, then start again."
    )


async def is_due(dsn: str) -> bool:
    """Whether the database is to be migrated; raises `SchemaMismatchError` when it is newer than what is known."""
    connection = await database.connect(dsn, name="ollama-fleet migrate")
    try:
        found = await current(connection)
    finally:
        await connection.close()
    if found is not None and found > KNOWN:
        raise SchemaMismatchError(
            f"The database schema is at {found}, newer than the {KNOWN} this program knows: nothing was changed. "
            "Install the newer ollama-fleet."
        )
    return found != KNOWN


async def upgrade(dsn: str) -> bool:
    """Bring the database to the known revision; return False when it was there already.

    Programs that do this at the same time migrate once, one after the other: they take a lock.
    """
    if not await is_due(dsn):
        return False
    from monitor.postgres import migration  # noqa: PLC0415  (costs a second; most starts need none)

    await migration.run(dsn)
    return True
