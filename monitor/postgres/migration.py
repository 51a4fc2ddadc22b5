"""The way from one schema to the next: Alembic, on a session of its own.

A module apart because Alembic and SQLAlchemy take long to import, and most starts need no migration.
"""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import migrations
from monitor.postgres import database
from monitor.postgres.tables import VERSION_TABLE

# A table, since everybody who can connect can take an advisory lock. As Alembic would make it, if it is not there yet.
MAKE_TABLE = f"""
CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (
    version_num varchar(32) NOT NULL, CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)
)
"""
LOCK = f"LOCK TABLE {VERSION_TABLE} IN SHARE ROW EXCLUSIVE MODE"
# Two programs made it at once: the second was kept waiting until the first had committed.
MADE_MEANWHILE = frozenset({"23505", "42P07"})


async def take_lock(connection: AsyncConnection) -> None:
    """Wait until no other program migrates, and keep them waiting until the transaction ends."""
    while True:
        try:
            await connection.execute(sqlalchemy.text(MAKE_TABLE))
        except sqlalchemy.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in MADE_MEANWHILE:
                raise
            await connection.rollback()
        else:
            await connection.execute(sqlalchemy.text(LOCK))
            return


async def run(dsn: str) -> None:
    """Bring the database to the newest revision; programs that do so at the same time wait for each other."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])).replace("%", "%%"))

    def upgrade_on(connection: sqlalchemy.Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: database.connect_driver(dsn))
    try:
        with database.translated(dsn):
            async with engine.connect() as connection:
                # Here already, where only this task waits: Alembic itself can run only once in a process.
                await take_lock(connection)
                await connection.run_sync(upgrade_on)
                await connection.commit()
    finally:
        await engine.dispose()
