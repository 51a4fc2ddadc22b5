"""Which server for this request, and which model is where: answered from memory, also while the database is away."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from aiohttp import web
from pydantic_core import to_json
from yarl import URL

from api.http import bodies, parameters, preconditions, responses
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
from monitor.domain import tie_break
from monitor.domain.selection import Request

RESOLVE, MODELS = "/api/resolve", "/api/models"
MOST_REMEMBERED = 1024

# What needs no decoding.
PLAIN_SESSION = re.compile(rf"[A-Za-z0-9._~:@/-]{{1,{parameters.MAX_SESSION}}}")


class Asked(NamedTuple):
    """What is asked of the resolver, for which session, and what the answer is to have besides."""

    request: Request
    session: str | None
    include: frozenset[Extra]


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
        target, session = _without_session(request.raw_path)
        asked = _asked(target)
        return await self._answer(request, asked if session is None else asked._replace(session=session))

    async def post(self, request: web.Request) -> web.Response:
        """`POST /api/resolve`: the same with the parameters as a JSON object. It changes nothing either."""
        parameters.read(request.query, NoParameters)
        return await self._answer(request, _split(dict(await bodies.read(request, ResolveBody))))

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

    async def _answer(self, request: web.Request, asked: Asked) -> web.Response:
        snapshot = self._mirror.now() or await self._mirror.wait()
        chance = tie_break.of_session(asked.session)
        try:
            if Extra.CREDENTIALS in asked.include:
                access.require(request, Scope.CREDENTIALS)
                return responses.data(
                    await self._desk.resolve_with_headers(asked.request, snapshot, chance, self._outgoing)
                )
            written = self._desk.write(asked.request, snapshot, chance)
            return responses.written(written.json, tag=written.tag)
        except Problem as problem:
            if problem.code in misses.CODES:
                self._noticed.note()
            raise


def _without_session(target: str) -> tuple[str, str | None]:
    """Take the one parameter out of the target of a request that may be another one each time.

    Where it is not there once, in its simplest form, the target is left as it is.
    """
    head, found, rest = target.partition("session=")
    begins = head.find("?") + 1
    if not found or not begins or (head[-1] != "&" and begins != len(head)) or "session=" in rest:
        return target, None
    if "%" in target and any("%" in part.partition("=")[0] for part in target[begins:].split("&")):
        return target, None
    session, separator, rest = rest.partition("&")
    if not PLAIN_SESSION.fullmatch(session):
        return target, None
    return f"{head}{rest}" if separator else head[:-1], session


@lru_cache(MOST_REMEMBERED)
def _asked(target: str) -> Asked:
    """Read the target of a request, once for the many times that a program sends the same; raises the `Problem`."""
    return _split(dict(parameters.read(URL(target, encoded=True).query, ResolveQuery)))


def _split(values: dict[str, Any]) -> Asked:
    include, session = frozenset(values.pop("include")), values.pop("session")
    labels, capabilities = tuple(values.pop("label")), tuple(values.pop("capability"))
    return Asked(Request(**values, labels=labels, capabilities=capabilities), session, include)


def _tag(answer: Mapping[str, Any]) -> str:
    """Return what tells an answer apart, whatever its age."""
    lasting = to_json({name: value for name, value in answer.items() if name != "snapshot"})
    return preconditions.digest(lasting)
