"""The fleet in a database at hand, reached without an API; it must hold the schema that this program knows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from api.cli.fleet import Fleet
from api.fleet.filters import CatalogueFilters
from api.fleet.queries import events
from api.fleet.queries.events import Extract
from api.fleet.refusals import Refused
from api.fleet.registry import Registry
from api.fleet.resolution import catalogue, mirror, rediscovery
from api.fleet.resolution.answers import Resolution
from api.fleet.resolution.catalogue import CatalogueAnswer, CataloguePage
from api.fleet.resolution.outgoing import OutgoingHeaders
from api.fleet.resolution.service import ResolverService
from monitor import logs
from monitor.credentials.vault import Vault
from monitor.domain import tie_break
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import MODEL_CHANNEL, SERVER_CHANNEL
from monitor.domain.selection import Request
from monitor.postgres import schema_version
from monitor.postgres.database import Database
from monitor.postgres.listener import Listener
from monitor.settings import LogFormat, LogLevel, Settings

NAME = "ollama-fleet command"
SESSIONS = 2
LISTENER = "ollama-fleet events"
# A listener that is connected wakes up more often; this is for one that is not.
PATIENCE = 5.0


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


def fleet(database: Database, settings: Settings, *, vault: Vault | None = None) -> Fleet:
    """Return the fleet that lives in an opened database; `vault` is one that is open already."""
    registry = Registry(database, settings, vault=vault)
    return Fleet(
        registry=registry,
        resolver=LocalResolver(database, settings, outgoing=OutgoingHeaders(registry.credential)),
        events=LocalEventLog(database, listen_dsn=settings.listen_database_url or database.dsn),
    )


class LocalResolver:
    """Implements `fleet.FleetResolver`."""

    def __init__(self, database: Database, settings: Settings, *, outgoing: OutgoingHeaders) -> None:
        self._database = database
        self._outgoing = outgoing
        self._interval = settings.discovery_interval
        self._service = ResolverService(settings.policy, settings.allowed_networks)

    async def resolve(self, request: Request, *, session: str | None = None, with_headers: bool = False) -> Resolution:
        """Return the server for a request, and the headers that it wants."""
        snapshot = await mirror.read_once(self._database)
        chance = tie_break.of_session(session)
        try:
            if with_headers:
                return await self._service.resolve_with_headers(request, snapshot, chance, self._outgoing)
            return self._service.resolve(request, snapshot, chance)
        except Refused as problem:
            if problem.code in rediscovery.CODES:
                # What the person hears of is the refusal, whatever becomes of this.
                with contextlib.suppress(DatabaseUnavailableError):
                    await rediscovery.ask(self._database, self._interval)
            raise

    async def models(self, *, limit: int, cursor: str | None) -> CataloguePage:
        """Return some models by name."""
        snapshot = await mirror.read_once(self._database)
        return catalogue.page(snapshot, CatalogueFilters(), limit=limit, cursor=cursor)

    async def model(self, model_name: str) -> CatalogueAnswer:
        """Return one model with all its servers."""
        return catalogue.one(await mirror.read_once(self._database), model_name)


class LocalEventLog:
    """Implements `fleet.EventLog` on the table of events."""

    def __init__(self, database: Database, *, listen_dsn: str) -> None:
        self._database = database
        self._listen_dsn = listen_dsn

    async def read(self, after: int | None, *, limit: int, types: Sequence[str], server_id: UUID | None) -> Extract:
        """Return at most `limit` events after a number."""
        return await events.extract(self._database, after, limit=limit, types=list(types), server_id=server_id)

    def waker(self) -> "ListenerWaker":
        """Return a listener of its own session."""
        return ListenerWaker(self._listen_dsn)


class ListenerWaker:
    """Implements `fleet.Waker` on a session of its own; a wake-up that got lost costs a delay, never an event."""

    def __init__(self, dsn: str) -> None:
        self._woken = asyncio.Event()
        self._listener = Listener(dsn, name=LISTENER, channels=(SERVER_CHANNEL, MODEL_CHANNEL), wake=self._woken.set)

    async def run(self) -> None:
        """Listen until cancelled; the trouble it has is told by whoever reads, in words for a person."""
        logs.configure(LogFormat.TEXT, LogLevel.ERROR)
        await self._listener.run()

    async def wait(self, cursor: int) -> None:
        """Return on a hint that has come since the last wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._woken.wait()
        self._woken.clear()
