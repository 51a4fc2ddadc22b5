"""The route of events: a page of the log, at once or when there is one."""

from aiohttp import web

from api import parameters, responses
from api.parameters import EventQuery
from api.registry import Registry


class EventHandler:
    """Events over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [web.get("/api/events", self.read)]

    async def read(self, request: web.Request) -> web.Response:
        """`GET /api/events`."""
        query = parameters.read(request.query, EventQuery)
        page = await self._registry.events(
            query.after, limit=query.limit, wait=query.wait, types=query.type, server_id=query.server_id
        )
        return responses.document(page)
