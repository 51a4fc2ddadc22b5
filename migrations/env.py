"""Alembic's entry: runs the revisions on a handed-in connection, else on OLLAMA_FLEET_DATABASE_URL.

Programs that start at the same time migrate once, one after the other: a connection that is handed in has the lock for
that. With `--sql` the same statements are written as a script for psql. In a database that is shared, tables of others
are left alone.
"""

import asyncio
import os

import asyncpg
from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.domain.errors import ConfigurationError
from monitor.postgres import migration
from monitor.postgres.metadata import metadata
from monitor.postgres.tables import VERSION_TABLE


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether a thing of the database is compared with the tables that are stated."""
    return kind != "table" or name in metadata.tables


def run(connection: Connection | None) -> None:
    """Run the wanted revisions in one transaction, so that a failure leaves the schema as it was.

    Without a connection they are written as a script.
    """
    context.configure(
        connection=connection,
        dialect_name="postgresql",
        # In a script a percent sign is a percent sign.
        dialect_opts={"paramstyle": "named"},
        literal_binds=connection is None,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=is_ours,
        compare_server_default=True,
    )
    with context.begin_transaction():
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
        await migration.take_lock(connection)
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


handed_in = context.config.attributes.get("connection")
if context.is_offline_mode() or handed_in is not None:
    run(handed_in)
else:
    asyncio.run(run_on_own_connection())
