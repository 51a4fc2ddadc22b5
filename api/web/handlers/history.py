"""Routes of history: what a server was like, and strips of many."""

from aiohttp import web

from api.fleet.history.views import HistoryView, StripsView
from api.fleet.registry import Registry
from api.web.handlers.servers import SERVERS, server_id
from api.web.http import parameters, responses
from api.web.http.parameters import HistoriesQuery, HistoryQuery
from api.web.openapi.operation import Operation


class HistoryHandler:
    """History over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> list[Operation]:
        """Return what is answered here."""
        return [
            Operation(
                tag="history",
                method="GET",
                path=SERVERS + "/{server_id}/history",
                handler=self.one,
                summary="Tell what a server was like: uptime, latency, a window in 90 slots, its latest transitions",
                parameters=HistoryQuery,
                answer=HistoryView,
                problems=("server_not_found",),
            ),
            Operation(
                tag="history",
                method="GET",
                path="/api/history",
                handler=self.many,
                summary="Tell what servers were like in 90 slots each, a letter a slot",
                parameters=HistoriesQuery,
                answer=StripsView,
            ),
        ]

    async def one(self, request: web.Request) -> web.Response:
        """`GET /api/servers/{id}/history`."""
        query = parameters.read(request.query, HistoryQuery)
        return responses.document(await self._registry.history(server_id(request), window=query.window))

    async def many(self, request: web.Request) -> web.Response:
        """`GET /api/history`."""
        query = parameters.read(request.query, HistoriesQuery)
        return responses.document(await self._registry.histories.of_many(query.server_id, window=query.window))
