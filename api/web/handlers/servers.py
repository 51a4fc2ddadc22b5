"""Routes of servers, of their models and of their history: from HTTP to the registry and back."""

from functools import partial
from http import HTTPStatus
from urllib.parse import quote
from uuid import UUID

from aiohttp import web

from api.fleet.history import HistoryView, StripsView
from api.fleet.refusals import Refused
from api.fleet.registry import Registry
from api.fleet.schemas import ModelPatch, ServerCreate, ServerPatch, ServerReplace
from api.fleet.views import CheckAnswer, DiscoveryAnswer, EditedServer, ModelPage, ModelView, ServerPage, ServerView
from api.web.gate import access
from api.web.http import bodies, parameters, preconditions, responses
from api.web.http.parameters import HistoriesQuery, HistoryQuery, ModelListing, NoParameters, ServerListing
from api.web.openapi.operation import Operation

SERVERS = "/api/servers"
KNOWN = ("server_not_found",)
TAKEN = ("name_taken", "url_taken")
ON_DEMAND = ("server_inactive", "monitor_absent", "not_answered_in_time")
IF_MATCH = {"If-Match": "The ETag that the server must still have, else 412."}
NEW_SERVER = {"name": "gpu-1", "url": "http://10.0.0.5:11434", "priority": 10, "labels": {"room": "attic"}}


def server_id(request: web.Request) -> UUID:
    """Return the server's id in the path; what is no id names no server."""
    text = request.match_info["server_id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise _no_id(text) from error


class ServerHandler:
    """Servers over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> list[Operation]:
        """Return what is answered here."""
        one = SERVERS + "/{server_id}"
        changed = (*KNOWN, *TAKEN, "precondition_failed", "key_ring_unavailable")
        describe = partial(Operation, tag="servers")
        return [
            describe(
                method="GET",
                path=SERVERS,
                handler=self.list,
                summary="List servers by name, those that all filters let through",
                parameters=ServerListing,
                answer=ServerPage,
                problems=("invalid_cursor",),
            ),
            describe(
                method="POST",
                path=SERVERS,
                handler=self.create,
                summary="Add a server; a monitor at work checks it within a second",
                body=ServerCreate,
                body_example=NEW_SERVER,
                answer=ServerView,
                status=HTTPStatus.CREATED,
                problems=(*TAKEN, "key_ring_unavailable"),
            ),
            describe(
                method="GET", path=one, handler=self.show, summary="Read a server", answer=ServerView, problems=KNOWN
            ),
            describe(
                method="PUT",
                path=one,
                handler=self.replace,
                summary="Put a whole server in the place of another",
                headers=IF_MATCH,
                body=ServerReplace,
                body_example=NEW_SERVER,
                answer=EditedServer,
                problems=changed,
            ),
            describe(
                method="PATCH",
                path=one,
                handler=self.patch,
                summary="Change the fields that are given (JSON merge patch)",
                headers=IF_MATCH,
                body=ServerPatch,
                body_types=(bodies.MERGE_PATCH, bodies.JSON),
                body_example={"priority": 20, "labels": {"room": None}},
                answer=EditedServer,
                problems=changed,
            ),
            describe(
                method="DELETE",
                path=one,
                handler=self.delete,
                summary="Delete a server and its models",
                headers=IF_MATCH,
                status=HTTPStatus.NO_CONTENT,
                problems=(*KNOWN, "precondition_failed", "invalid"),
            ),
            describe(
                method="POST",
                path=one + "/check",
                handler=self.check,
                summary="Have the monitor check a server now, and answer its verdict",
                answer=CheckAnswer,
                problems=(*KNOWN, *ON_DEMAND),
            ),
            describe(
                method="POST",
                path=one + "/discover",
                handler=self.discover,
                summary="Have the monitor list a server's models now, and answer what changed",
                answer=DiscoveryAnswer,
                problems=(*KNOWN, *ON_DEMAND, "discovery_failed"),
            ),
        ]

    def _acting(self, request: web.Request) -> Registry:
        return self._registry.acting_as(access.of(request).actor)

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/servers`."""
        listing = parameters.read(request.query, ServerListing)
        page = await self._registry.list_servers(listing, limit=listing.limit, cursor=listing.cursor)
        return responses.document(page)

    async def create(self, request: web.Request) -> web.Response:
        """`POST /api/servers`."""
        parameters.read(request.query, NoParameters)
        server = await self._acting(request).create_server(await bodies.read(request, ServerCreate))
        return _with_tag(server, status=HTTPStatus.CREATED, location=f"{SERVERS}/{server.id}")

    async def show(self, request: web.Request) -> web.Response:
        """`GET /api/servers/{id}`."""
        parameters.read(request.query, NoParameters)
        return _with_tag(await self._registry.get_server(server_id(request)))

    async def replace(self, request: web.Request) -> web.Response:
        """`PUT /api/servers/{id}`."""
        parameters.read(request.query, NoParameters)
        if_match = preconditions.if_match(request)
        new = await bodies.read(request, ServerReplace)
        return _with_tag(await self._acting(request).replace_server(server_id(request), new, if_match=if_match))

    async def patch(self, request: web.Request) -> web.Response:
        """`PATCH /api/servers/{id}`."""
        parameters.read(request.query, NoParameters)
        if_match = preconditions.if_match(request)
        patch = await bodies.read(request, ServerPatch, media_types=(bodies.MERGE_PATCH, bodies.JSON))
        return _with_tag(await self._acting(request).patch_server(server_id(request), patch, if_match=if_match))

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /api/servers/{id}`."""
        parameters.read(request.query, NoParameters)
        await self._acting(request).delete_server(server_id(request), if_match=preconditions.if_match(request))
        return responses.empty()

    async def check(self, request: web.Request) -> web.Response:
        """`POST /api/servers/{id}/check`."""
        parameters.read(request.query, NoParameters)
        return responses.document(await self._registry.request_check(server_id(request)))

    async def discover(self, request: web.Request) -> web.Response:
        """`POST /api/servers/{id}/discover`."""
        parameters.read(request.query, NoParameters)
        return responses.document(await self._registry.request_discovery(server_id(request)))


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


class ModelHandler:
    """Models over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> list[Operation]:
        """Return what is answered here. A model name may hold `/` and `:`, plain or percent-encoded."""
        models = SERVERS + "/{server_id}/models"
        return [
            Operation(
                tag="models",
                method="GET",
                path=models,
                handler=self.list,
                summary="List the models of a server",
                parameters=ModelListing,
                answer=ModelPage,
                problems=("server_not_found",),
            ),
            Operation(
                tag="models",
                method="PATCH",
                path=models + "/{model_name:.+}",
                handler=self.patch,
                summary="Note what the operator says of a model: its name, its capabilities, or that it is off",
                body=ModelPatch,
                body_types=(bodies.MERGE_PATCH, bodies.JSON),
                body_example={"is_active": False},
                answer=ModelView,
                problems=("server_not_found", "model_not_found"),
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/servers/{id}/models`."""
        listing = parameters.read(request.query, ModelListing)
        page = await self._registry.list_models(server_id(request), include_removed=listing.include_removed)
        return responses.document(page)

    async def patch(self, request: web.Request) -> web.Response:
        """`PATCH /api/servers/{id}/models/{model_name}`."""
        parameters.read(request.query, NoParameters)
        patch = await bodies.read(request, ModelPatch, media_types=(bodies.MERGE_PATCH, bodies.JSON))
        model_name = request.match_info["model_name"]
        registry = self._registry.acting_as(access.of(request).actor)
        return responses.document(await registry.patch_model(server_id(request), model_name, patch))


def _with_tag(server: ServerView, *, status: HTTPStatus = HTTPStatus.OK, location: str | None = None) -> web.Response:
    headers = {"ETag": preconditions.etag(server.row_version)}
    if location is not None:
        headers["Location"] = location
    return responses.document(server, status=status, headers=headers)


def _no_id(text: str) -> Refused:
    """Return the refusal of what stands where the id of a server belongs, most often its name."""
    given = text[:100]
    by_name = f"GET /api/servers?name={quote(given)} finds one by its name"
    detail = f"The path takes the id of a server, and {given!r} is none; {by_name}."
    return Refused("server_not_found", detail)
