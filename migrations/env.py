"""Alembic's entry: runs the revisions on a handed-in connection, else on OLLAMA_FLEET_DATABASE_URL.

An advisory lock makes programs that start at the same time migrate once, one after the other.
"""

import asyncio
import os

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.domain.errors import ConfigurationError
from monitor.postgres import migration
from monitor.postgres.metadata import metadata


def run(connection: Connection) -> None:
    """Run the wanted revisions in one transaction, so that a failure leaves the schema as it was."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text(migration.LOCK))
        context.run_migrations()


async def run_on_own_connection() -> None:
    """Connect to the address in the environment, as `alembic upgrade head` needs it."""
    dsn = os.environ.get("OLLAMA_FLEET_DATABASE_URL")
    if not dsn:
        raise ConfigurationError(
            "OLLAMA_FLEET_DATABASE_URL is not set: alembic does not know which database to work on. "
            "Set it to postgresql://user:password@host/database."
        )
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


handed_in = context.config.attributes.get("connection")
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif handed_in is not None:
    run(handed_in)
else:
    asyncio.run(run_on_own_connection())
