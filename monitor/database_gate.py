"""Waits at the start until the database can be reached, and refuses one with another schema or another key ring."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from monitor.credentials.vault import Vault
from monitor.domain.errors import ConfigurationError, DatabaseRefusesError, DatabaseUnavailableError
from monitor.postgres import credential_store, schema_version
from monitor.postgres.database import Database

RETRY = 1.0

log = structlog.get_logger(__name__)


async def wait(database: Database, vault: Vault, *, stop: asyncio.Event, ready: Callable[[], object]) -> None:
    """Check the schema and the key ring; with the database away the process counts as ready and keeps trying.

    Raises `SchemaMismatchError`, `KeyRingError` for a ring that opens none of the credentials, and
    `ConfigurationError` if the database lets nobody in at the very first try: later it is away like any other.
    """
    away = False
    while not stop.is_set():
        try:
            async with database.session() as connection:
                await schema_version.verify(connection)
                await credential_store.require_key_ring(connection, vault)
        except DatabaseUnavailableError as error:
            if isinstance(error, DatabaseRefusesError) and not away:
                raise ConfigurationError(str(error)) from error
            if not away:
                log.warning("database_away", error=str(error))
                ready()
            away = True
        else:
            if not away:
                ready()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY):
                await stop.wait()
