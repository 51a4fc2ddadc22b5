"""The resolver on a database at hand: the fleet is read for each question, by the same rules as in the API."""

import contextlib

from api.fleet.filters import CatalogueFilters
from api.fleet.refusals import Refused
from api.fleet.resolution import catalogue, mirror, rediscovery
from api.fleet.resolution.answers import Resolution
from api.fleet.resolution.catalogue import CatalogueAnswer, CataloguePage
from api.fleet.resolution.outgoing import OutgoingHeaders
from api.fleet.resolution.service import ResolverService
from monitor.domain import tie_break
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.selection import Request
from monitor.postgres.database import Database
from monitor.settings import Settings


class LocalResolver:
    """Implements `reach.FleetResolver`."""

    def __init__(self, database: Database, settings: Settings, *, outgoing: OutgoingHeaders) -> None:
        self._database = database
        self._outgoing = outgoing
        self._interval = settings.discovery_interval
        self._desk = ResolverService(settings.policy, settings.allowed_networks)

    async def resolve(self, request: Request, *, session: str | None = None, with_headers: bool = False) -> Resolution:
        """Return the server for a request, and the headers that it wants."""
        snapshot = await mirror.read_once(self._database)
        chance = tie_break.of_session(session)
        try:
            if with_headers:
                return await self._desk.resolve_with_headers(request, snapshot, chance, self._outgoing)
            return self._desk.resolve(request, snapshot, chance)
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
