"""Which server for this request, and which model is where: answered from memory, also while the database is away."""

from aiohttp import web

from api import bodies, catalogue, misses, parameters, responses
from api.mirror import Mirror
from api.misses import Misses
from api.parameters import CatalogueListing, NoParameters, ResolveQuery
from api.problems import Problem
from api.resolution import Desk
from api.schemas import ResolveBody
from monitor.domain.resolver import Request


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
        query = parameters.read(request.query, ResolveQuery)
        return await self._resolve(query)

    async def post(self, request: web.Request) -> web.Response:
        """`POST /api/resolve`: the same with the parameters as a JSON object. It changes nothing either."""
        parameters.read(request.query, NoParameters)
        return await self._resolve(await bodies.read(request, ResolveBody))

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/models`."""
        listing = parameters.read(request.query, CatalogueListing)
        snapshot = await self._mirror.wait()
        return responses.document(catalogue.page(snapshot, listing, limit=listing.limit, cursor=listing.cursor))

    async def show(self, request: web.Request) -> web.Response:
        """`GET /api/models/{model_name}`."""
        parameters.read(request.query, NoParameters)
        return responses.document(catalogue.one(await self._mirror.wait(), request.match_info["model_name"]))

    async def _resolve(self, asked: ResolveQuery | ResolveBody) -> web.Response:
        wanted = Request(server_url=asked.server_url, model=asked.model, explain=asked.explain, cloud=asked.cloud)
        snapshot = self._mirror.now() or await self._mirror.wait()
        try:
            resolution = self._desk.resolve(wanted, snapshot)
        except Problem as problem:
            if problem.code in misses.CODES:
                self._noticed.note()
            raise
        return responses.document(resolution)
