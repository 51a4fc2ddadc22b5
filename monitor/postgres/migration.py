"""The way from one schema to the next: Alembic, on a session of its own.

A module apart because Alembic and SQLAlchemy take long to import, and most starts need no migration.
"""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

import migrations
from monitor.postgres import database

# "ollama" in ASCII: any number will do, as long as all programs use the same.
LOCK = f"SELECT pg_advisory_xact_lock({0x6F6C6C616D61})"


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
            async with engine.begin() as connection:
                # Here already, where only this task waits: Alembic itself can run only once in a process.
                await connection.execute(sqlalchemy.text(LOCK))
                await connection.run_sync(upgrade_on)
    finally:
        await engine.dispose()
