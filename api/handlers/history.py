"""Routes of history: what a server was like, and strips of many."""

from aiohttp import web

from api import parameters, responses
from api.handlers.servers import SERVERS, server_id
from api.histories import Histories
from api.parameters import HistoriesQuery, HistoryQuery


class HistoryHandler:
    """History over HTTP."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [web.get(SERVERS + "/{server_id}/history", self.one), web.get("/api/history", self.many)]

    async def one(self, request: web.Request) -> web.Response:
        """`GET /api/servers/{id}/history`."""
        query = parameters.read(request.query, HistoryQuery)
        return responses.document(await self._histories.of_server(server_id(request), window=query.window))

    async def many(self, request: web.Request) -> web.Response:
        """`GET /api/history`."""
        query = parameters.read(request.query, HistoriesQuery)
        return responses.document(await self._histories.of_many(query.server_id, window=query.window))
