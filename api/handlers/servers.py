"""Routes of servers: from HTTP to the registry and back."""

from http import HTTPStatus
from uuid import UUID

from aiohttp import web

from api import bodies, edits, parameters, preconditions, responses
from api.parameters import NoParameters, ServerListing
from api.registry import Registry
from api.schemas import ServerCreate, ServerPatch, ServerReplace
from api.views import ServerView

SERVERS = "/api/servers"


def server_id(request: web.Request) -> UUID:
    """Return the server's id in the path; what is no id names no server."""
    text = request.match_info["server_id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise edits.server_not_found(text) from error


class ServerHandler:
    """Servers over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        one = SERVERS + "/{server_id}"
        return [
            web.get(SERVERS, self.list),
            web.post(SERVERS, self.create),
            web.get(one, self.show),
            web.put(one, self.replace),
            web.patch(one, self.patch),
            web.delete(one, self.delete),
            web.post(one + "/check", self.check),
            web.post(one + "/discover", self.discover),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/servers`."""
        listing = parameters.read(request.query, ServerListing)
        page = await self._registry.list_servers(listing, limit=listing.limit, cursor=listing.cursor)
        return responses.document(page)

    async def create(self, request: web.Request) -> web.Response:
        """`POST /api/servers`."""
        parameters.read(request.query, NoParameters)
        server = await self._registry.create_server(await bodies.read(request, ServerCreate))
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
        return _with_tag(await self._registry.replace_server(server_id(request), new, if_match=if_match))

    async def patch(self, request: web.Request) -> web.Response:
        """`PATCH /api/servers/{id}`."""
        parameters.read(request.query, NoParameters)
        if_match = preconditions.if_match(request)
        patch = await bodies.read(request, ServerPatch, media_types=(bodies.MERGE_PATCH, bodies.JSON))
        return _with_tag(await self._registry.patch_server(server_id(request), patch, if_match=if_match))

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /api/servers/{id}`."""
        parameters.read(request.query, NoParameters)
        await self._registry.delete_server(server_id(request), if_match=preconditions.if_match(request))
        return responses.empty()

    async def check(self, request: web.Request) -> web.Response:
        """`POST /api/servers/{id}/check`."""
        parameters.read(request.query, NoParameters)
        return responses.document(await self._registry.request_check(server_id(request)))

    async def discover(self, request: web.Request) -> web.Response:
        """`POST /api/servers/{id}/discover`."""
        parameters.read(request.query, NoParameters)
        return responses.document(await self._registry.request_discovery(server_id(request)))


def _with_tag(server: ServerView, *, status: HTTPStatus = HTTPStatus.OK, location: str | None = None) -> web.Response:
    headers = {"ETag": preconditions.etag(server.row_version)}
    if location is not None:
        headers["Location"] = location
    return responses.document(server, status=status, headers=headers)
