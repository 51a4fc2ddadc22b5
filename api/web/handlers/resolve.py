"""Which server for this request, and which model is where: answered from memory, also while the database is away."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from aiohttp import web
from pydantic_core import to_json
from yarl import URL

from api.fleet.access.scopes import Scope
from api.fleet.filters import Extra
from api.fleet.refusals import Refused
from api.fleet.resolution import catalogue
from api.fleet.resolution import rediscovery as rediscoveries
from api.fleet.resolution.answers import ResolutionView
from api.fleet.resolution.catalogue import CatalogueAnswerView, CataloguePageView
from api.fleet.resolution.mirror import Mirror, Snapshot
from api.fleet.resolution.outgoing import OutgoingHeaders
from api.fleet.resolution.rediscovery import Rediscovery
from api.fleet.resolution.service import ResolverService, Written
from api.fleet.schemas import ResolveBody
from api.web.gate import access
from api.web.http import bodies, parameters, preconditions, responses, targets
from api.web.http.parameters import CatalogueListing, NoParameters, ResolveQuery
from api.web.openapi.operation import Operation
from monitor.domain import resolver, tie_break
from monitor.domain.selection import Request
from monitor.domain.tie_break import TieBreak

RESOLVE, MODELS = "/api/resolve", "/api/models"
MOST_REMEMBERED = 1024


class Asked(NamedTuple):
    """What is asked of the resolver, for which session, and what the answer is to have besides.

    `key` is `resolver.key_of_plain` of the request, worked out for the many that are the same.
    """

    request: Request
    session: str | None
    include: frozenset[Extra]
    key: str | None


class ResolveHandler:
    """Resolution and the catalogue over HTTP."""

    def __init__(
        self, mirror: Mirror, service: ResolverService, *, rediscovery: Rediscovery, outgoing: OutgoingHeaders
    ) -> None:
        """`rediscovery` hears of what was not found."""
        self._mirror = mirror
        self._service = service
        self._rediscovery = rediscovery
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
        target, session = request.raw_path, None
        if targets.SESSION in target:
            target, session = targets.without_session(target)
        asked, snapshot = _asked(target), self._mirror.now()
        if asked.key is not None and snapshot is not None:
            chance = tie_break.of_session(session or asked.session)
            written = self._service.write_first(asked.key, snapshot, chance)
            if written is not None:
                return _response(written)
        return await self._answer(request, asked, session or asked.session)

    async def post(self, request: web.Request) -> web.Response:
        """`POST /api/resolve`: the same with the parameters as a JSON object. It changes nothing either."""
        parameters.read(request.query, NoParameters)
        asked = _split(dict(await bodies.read(request, ResolveBody)))
        return await self._answer(request, asked, asked.session)

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/models`."""
        listing = parameters.read(request.query, CatalogueListing)
        snapshot = await self._mirror.wait()
        page = catalogue.page(snapshot, listing, limit=listing.limit, cursor=listing.cursor)
        return responses.data(page, tag=_tag(page))

    async def show(self, request: web.Request) -> web.Response:
        """`GET /api/models/{model_name}`."""
        parameters.read(request.query, NoParameters)
        model = catalogue.one(await self._mirror.wait(), request.match_info["model_name"])
        return responses.data(model, tag=_tag(model))

    async def _answer(self, request: web.Request, asked: Asked, session: str | None) -> web.Response:
        snapshot = self._mirror.now() or await self._mirror.wait()
        chance = tie_break.of_session(session)
        try:
            if asked.include:
                return await self._answer_with_headers(request, asked, snapshot, chance)
            return _response(self._service.write(asked.request, snapshot, chance))
        except Refused as problem:
            if problem.code in rediscoveries.CODES:
                self._rediscovery.note()
            raise

    async def _answer_with_headers(
        self, request: web.Request, asked: Asked, snapshot: Snapshot, chance: TieBreak
    ) -> web.Response:
        access.of(request).require(Scope.CREDENTIALS)
        return responses.data(await self._service.resolve_with_headers(asked.request, snapshot, chance, self._outgoing))


def _response(written: Written) -> web.Response:
    if written.tag is None:
        return responses.fleeting(written.json)
    return responses.written(written.json, tag=written.tag)


@lru_cache(MOST_REMEMBERED)
def _asked(target: str) -> Asked:
    """Read the target of a request, once for the many times that a program sends the same; raises the `Refused`."""
    return _split(dict(parameters.read(URL(target, encoded=True).query, ResolveQuery)))


def _split(values: dict[str, Any]) -> Asked:
    include, session = frozenset(values.pop("include")), values.pop("session")
    labels, capabilities = tuple(values.pop("label")), tuple(values.pop("capability"))
    request = Request(**values, labels=labels, capabilities=capabilities)
    return Asked(request, session, include, None if include else resolver.key_of_plain(request))


def _tag(answer: Mapping[str, Any]) -> str:
    """Return what tells an answer apart, whatever its age."""
    lasting = to_json({name: value for name, value in answer.items() if name != "snapshot"})
    return preconditions.digest(lasting)
