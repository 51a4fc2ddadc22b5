"""Which server for this request, and which model is where: answered from memory, also while the database is away."""

from functools import lru_cache

from aiohttp import web
from yarl import URL

from api import bodies, catalogue, misses, parameters, responses
from api.mirror import Mirror
from api.misses import Misses
from api.parameters import CatalogueListing, NoParameters, ResolveQuery
from api.problems import Problem
from api.resolution import Desk
from api.schemas import ResolveBody
from monitor.domain.resolver import Request

MOST_REMEMBERED = 1024


class ResolveHandler:
    """Resolution and the catalogue over HTTP."""

    def __init__(self, mirror: Mirror, desk: Desk, noticed: Misses) -> None:
        """`noticed` hears of what was not found."""
        self._mirror = mirror
        self._desk = desk
        self._noticed = noticed

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here. A model name may hold `/` and `:`, plain or percent-encoded."""
        return [
            web.get("/api/resolve", self.ask),
            web.post("/api/resolve", self.post),
            web.get("/api/models", self.list),
            web.get("/api/models/{model_name:.+}", self.show),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """`GET /api/resolve`."""
        return await self._resolve(_asked(request.rel_url.raw_query_string))

    async def post(self, request: web.Request) -> web.Response:
        """`POST /api/resolve`: the same with the parameters as a JSON object. It changes nothing either."""
        parameters.read(request.query, NoParameters)
        body = await bodies.read(request, ResolveBody)
        return await self._resolve(Request(**dict(body)))

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/models`."""
        listing = parameters.read(request.query, CatalogueListing)
        snapshot = await self._mirror.wait()
        return responses.data(catalogue.page(snapshot, listing, limit=listing.limit, cursor=listing.cursor))

    async def show(self, request: web.Request) -> web.Response:
        """`GET /api/models/{model_name}`."""
        parameters.read(request.query, NoParameters)
        return responses.data(catalogue.one(await self._mirror.wait(), request.match_info["model_name"]))

    async def _resolve(self, asked: Request) -> web.Response:
        snapshot = self._mirror.now() or await self._mirror.wait()
        try:
            answer = self._desk.write(asked, snapshot)
        except Problem as problem:
            if problem.code in misses.CODES:
                self._noticed.note()
            raise
        return responses.written(answer)


@lru_cache(MOST_REMEMBERED)
def _asked(query: str) -> Request:
    """Read a query string, once for the many times that a program sends the same; raises the `Problem` with it."""
    return Request(**dict(parameters.read(URL.build(query_string=query, encoded=True).query, ResolveQuery)))
