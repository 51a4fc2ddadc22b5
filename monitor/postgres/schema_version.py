"""Which schema this program knows, whether the database has it, and the way there."""

from pathlib import Path

import asyncpg
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.domain.errors import SchemaMismatchError
from monitor.postgres import database
from monitor.postgres.database import Connection

KNOWN = "003"

VERSION_TABLE = "SELECT to_regclass('alembic_version') IS NOT NULL"
VERSION = "SELECT version_num FROM alembic_version"


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


async def upgrade(dsn: str) -> bool:
    """Bring the database to the known revision; return False when it was there already.

    Programs that do this at the same time migrate once: `migrations/env.py` takes an advisory lock.
    """
    connection = await database.connect(dsn, name="ollama-fleet migrate")
    try:
        found = await current(connection)
    finally:
        await connection.close()
    if found == KNOWN:
        return False
    if found is not None and found > KNOWN:
        raise SchemaMismatchError(
            f"The database schema is at {found}, newer than the {KNOWN} this program knows: nothing was changed. "
            "Install the newer ollama-fleet."
        )
    await _run_alembic(dsn)
    return True


async def _run_alembic(dsn: str) -> None:
    from alembic import command  # noqa: PLC0415  (costs 0.2 s; most starts need no migration)
    from alembic.config import Config  # noqa: PLC0415

    import migrations  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])).replace("%", "%%"))

    def upgrade_on(connection: sqlalchemy.Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn, timeout=database.CONNECT_TIMEOUT)
    )
    try:
        with database.translated(dsn):
            async with engine.begin() as connection:
                await connection.run_sync(upgrade_on)
    finally:
        await engine.dispose()
