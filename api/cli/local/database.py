"""The database of the fleet, opened for one command and checked to hold the schema it knows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog

from api.cli.local.resolver import LocalResolver
from api.cli.local.waker import ListenerWaker
from api.cli.reach import Reach
from api.fleet.queries import events
from api.fleet.queries.events import Extract
from api.fleet.registry import Registry
from api.fleet.resolution.outgoing import OutgoingHeaders
from monitor import logs
from monitor.credentials.vault import Vault
from monitor.postgres import schema_version
from monitor.postgres.database import Database
from monitor.settings import LogFormat, LogLevel, Settings

NAME = "ollama-fleet command"
SESSIONS = 2

Result = TypeVar("Result")


def use(action: Callable[[Database], Awaitable[Result]], *, settings: Settings, dsn: str) -> Result:
    """Run one action on the opened database in an event loop of its own."""
    if not structlog.is_configured():
        # What a part of the fleet has to say is no result of the command, so it is not for stdout.
        logs.configure(LogFormat.TEXT, LogLevel.WARNING)

    async def run() -> Result:
        async with opened(settings, dsn=dsn) as database:
            return await action(database)

    return asyncio.run(run())


def reach(database: Database, settings: Settings, *, vault: Vault | None = None) -> Reach:
    """Return all ways to the fleet that lives in a database; `vault` is one that is open already."""
    registry = Registry(database, settings, vault=vault)
    return Reach(
        registry=registry,
        resolver=LocalResolver(database, settings, outgoing=OutgoingHeaders(registry.credential)),
        read_events=partial(_read_events, database),
        make_waker=lambda: ListenerWaker(settings.listen_database_url or database.dsn),
    )


async def _read_events(
    database: Database, after: int | None, *, limit: int, types: Sequence[str], server_id: UUID | None
) -> Extract:
    return await events.extract(database, after, limit=limit, types=list(types), server_id=server_id)


def migrate(dsn: str) -> str:
    """Bring the schema up to date and return what there was to do."""
    changed = asyncio.run(schema_version.upgrade(dsn))
    return f"The schema is at {schema_version.KNOWN} {'now' if changed else 'already, nothing was to do'}."


def rehearse_migration(dsn: str) -> str:
    """Change nothing, and return what `migrate` would do."""
    if asyncio.run(schema_version.is_due(dsn)):
        return f"The schema would be brought to {schema_version.KNOWN}."
    return f"The schema is at {schema_version.KNOWN} already, nothing would be done."


@asynccontextmanager
async def opened(settings: Settings, *, dsn: str) -> AsyncIterator[Database]:
    """Open the database; an empty one gets the schema if it is ours to fill, that is the embedded one.

    Raises SchemaMismatchError when the schema is another one than this program knows.
    """
    database = Database(dsn, name=NAME, size=SESSIONS, behind_pooler=settings.listen_database_url is not None)
    await database.open()
    try:
        if await _is_to_be_filled(database, settings):
            await schema_version.upgrade(dsn)
        yield database
    finally:
        await database.close()


async def _is_to_be_filled(database: Database, settings: Settings) -> bool:
    async with database.session() as connection:
        if settings.database_url is None and await schema_version.current(connection) is None:
            return True
        await schema_version.verify(connection)
        return False
