"""Which server for this request, and which model is where: answered from memory, also while the database is away."""

from functools import lru_cache
from typing import Any

from aiohttp import web
from yarl import URL

from api.http import bodies, parameters, responses
from api.http.parameters import CatalogueListing, Extra, NoParameters, ResolveQuery
from api.openapi.operation import Operation
from api.problems import Problem
from api.resolution import catalogue, misses
from api.resolution.answers import ResolutionView
from api.resolution.catalogue import CatalogueAnswerView, CataloguePageView
from api.resolution.desk import Desk
from api.resolution.mirror import Mirror
from api.resolution.misses import Misses
from api.resolution.outgoing import OutgoingHeaders
from api.schemas import ResolveBody
from api.security import access
from api.security.access import Scope
from monitor.domain.resolver import Request

RESOLVE, MODELS = "/api/resolve", "/api/models"
MOST_REMEMBERED = 1024

Include = frozenset[Extra]


class ResolveHandler:
    """Resolution and the catalogue over HTTP."""

    def __init__(self, mirror: Mirror, desk: Desk, *, noticed: Misses, outgoing: OutgoingHeaders) -> None:
        """`noticed` hears of what was not found."""
        self._mirror = mirror
        self._desk = desk
        self._noticed = noticed
        self._outgoing = outgoing

    def operations(self) -> list[Operation]:
        """Return what is answered here. A model name may hold `/` and `:`, plain or percent-encoded."""
        summary = "Tell which server to take for a URL, a model, or neither"
        refusals = (
            "server_inactive",
            "model_not_found",
            "no_server_available",
            "no_active_server",
            "fleet_not_read",
            "credential_unreadable",
        )
        return [
            Operation(
                tag="resolution",
                method="GET",
                path=RESOLVE,
                handler=self.ask,
                summary=summary,
                parameters=ResolveQuery,
                answer=ResolutionView,
                problems=refusals,
            ),
            Operation(
                tag="resolution",
                method="POST",
                path=RESOLVE,
                handler=self.post,
                summary=f"{summary}; changes nothing",
                body=ResolveBody,
                body_example={"model": "llama3.2:3b"},
                answer=ResolutionView,
                problems=refusals,
            ),
            Operation(
                tag="catalogue",
                method="GET",
                path=MODELS,
                handler=self.list,
                summary="List models by name, those that all filters let through, with the servers that have them",
                parameters=CatalogueListing,
                answer=CataloguePageView,
                problems=("invalid_cursor", "fleet_not_read"),
            ),
            Operation(
                tag="catalogue",
                method="GET",
                path=MODELS + "/{model_name:.+}",
                handler=self.show,
                summary="Tell where a model is, where it is loaded, and whether it is the same everywhere",
                answer=CatalogueAnswerView,
                problems=("model_not_found", "fleet_not_read"),
            ),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """`GET /api/resolve`."""
        asked, include = _asked(request.raw_path)
        return await self._answer(request, asked, include)

    async def post(self, request: web.Request) -> web.Response:
        """`POST /api/resolve`: the same with the parameters as a JSON object. It changes nothing either."""
        parameters.read(request.query, NoParameters)
        asked, include = _split(dict(await bodies.read(request, ResolveBody)))
        return await self._answer(request, asked, include)

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/models`."""
        listing = parameters.read(request.query, CatalogueListing)
        snapshot = await self._mirror.wait()
        return responses.data(catalogue.page(snapshot, listing, limit=listing.limit, cursor=listing.cursor))

    async def show(self, request: web.Request) -> web.Response:
        """`GET /api/models/{model_name}`."""
        parameters.read(request.query, NoParameters)
        return responses.data(catalogue.one(await self._mirror.wait(), request.match_info["model_name"]))

    async def _answer(self, request: web.Request, asked: Request, include: Include) -> web.Response:
        snapshot = self._mirror.now() or await self._mirror.wait()
        try:
            if Extra.CREDENTIALS in include:
                access.require(request, Scope.CREDENTIALS)
                return responses.data(await self._desk.resolve_with_headers(asked, snapshot, self._outgoing))
            return responses.written(self._desk.write(asked, snapshot))
        except Problem as problem:
            if problem.code in misses.CODES:
                self._noticed.note()
            raise


@lru_cache(MOST_REMEMBERED)
def _asked(target: str) -> tuple[Request, Include]:
    """Read the target of a request, once for the many times that a program sends the same; raises the `Problem`."""
    return _split(dict(parameters.read(URL(target, encoded=True).query, ResolveQuery)))


def _split(values: dict[str, Any]) -> tuple[Request, Include]:
    include = frozenset(values.pop("include"))
    return Request(**values), include
