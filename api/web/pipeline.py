"""Around every request: it passes the gate, is counted, and what fails is told as `application/problem+json`."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import NoReturn

import structlog
from aiohttp import hdrs, web

from api.fleet import refusals
from api.fleet.queries.transactions import RefusedError
from api.fleet.refusals import Refused
from api.web.gate import access
from api.web.gate.gate import Gate
from api.web.http import bodies, preconditions, responses
from api.web.http.connections import Connections
from api.web.http.responses import Fleeting
from api.web.metrics.traffic import Traffic
from api.web.problems import HttpRefused
from monitor.domain import url
from monitor.domain.errors import ConfigurationError, DatabaseUnavailableError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Whatever no other route takes, a path with a line break, too; and what the metrics call it.
OK = HTTPStatus.OK.value
ELSEWHERE, UNKNOWN = r"/{path:[\s\S]*}", "unknown"

OF_OLLAMA = re.compile(rf"/(api/({url.ROUTES_OF_OLLAMA})|v1/({url.ROUTES_OF_OPENAI}))")

log = structlog.get_logger(__name__)


class RequestPipeline:
    """Gate, handler and count in one coroutine around each handler.

    As a middleware of aiohttp it would be three coroutines more, a tenth of what it costs to resolve a model. What
    has no path at all, such as `OPTIONS *`, is refused by aiohttp itself.
    """

    def __init__(self, gate: Gate, traffic: Traffic, connections: Connections) -> None:
        self._gate = gate
        self._traffic = traffic
        self._connections = connections

    def wrap(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """Return the routes with the pipeline around each, and after them one for all that fits none of them."""
        wrapped = [
            web.route(route.method, route.path, self._wrapped(route.handler, _pattern(route.path)), **route.kwargs)
            for route in routes
        ]
        return [*wrapped, web.route(hdrs.METH_ANY, ELSEWHERE, self._wrapped(_refuse, UNKNOWN))]

    def _wrapped(self, handler: Handler, pattern: str) -> Handler:
        """Return a handler that answers whoever may ask; whatever goes wrong is a problem with a stable code.

        `pattern` is the pattern that the path of the request fits.
        """
        gate, count, clock = self._gate, self._traffic.of(pattern).count, time.perf_counter
        recall, at_work, has_answer = gate.recall, self._connections.at_work, self._connections.answered.add
        begin, end = at_work.add, at_work.discard

        async def answer(request: web.Request) -> web.StreamResponse:
            began = clock()
            connection = request.protocol
            begin(connection)
            try:
                if not recall(request):
                    await gate.examine(request)
                response = await handler(request)
                if type(response) is not Fleeting and request.method == hdrs.METH_GET and response.status == OK:
                    response = preconditions.unless_known(request, response)
            except Exception as error:
                response = responses.problem(_problem(request, pattern, error))
            finally:
                end(connection)
                has_answer(connection)
            count(request, response, clock() - began)
            return response

        return answer


def _pattern(path: str) -> str:
    return web.DynamicResource(path).canonical


async def _refuse(request: web.Request) -> NoReturn:
    """Say that nothing is there, or what the path takes in place of this method."""
    allowed: set[str] = set()
    elsewhere = request.match_info.route.resource
    for resource in request.app.router.resources():
        if resource is not elsewhere:
            allowed |= (await resource.resolve(request))[1]
    raise web.HTTPMethodNotAllowed(request.method, allowed) if allowed else web.HTTPNotFound


def _problem(request: web.Request, pattern: str, error: Exception) -> Refused:
    """Return what is told of an error; nothing of the inside gets out."""
    match error:
        case Refused():
            return error
        case DatabaseUnavailableError() | ConfigurationError():
            return refusals.unavailable(error, names_database=access.may_read(request))
        case RefusedError():
            return Refused("invalid", str(error))
        case web.HTTPException():
            return _from_aiohttp(request, error)
        case _:
            log.error("request_failed", method=request.method, route=pattern, exc_info=error)
            detail = "This is a fault of the API; its log says more."
            return Refused("internal", detail)


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> Refused:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} does nothing here; this path takes {allowed}."
        return HttpRefused("method_not_allowed", detail, headers={hdrs.ALLOW: allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = f"The body has more than {bodies.MAX_BYTES // 1024} KiB. Nothing was changed; send less."
        return Refused("too_large", detail)
    if error.status == HTTPStatus.NOT_FOUND:
        return Refused("not_found", _nothing_at(request.path))
    return HttpRefused("bad_request", "The request cannot be understood.", status=HTTPStatus(error.status))


def _nothing_at(path: str) -> str:
    """Return what to do about a path of nothing, among them those that are taken for Ollama's."""
    if OF_OLLAMA.fullmatch(path):
        return (
            "This is not Ollama, and no request of models goes through here: GET /api/resolve?model=NAME tells which "
            "server to send it to."
        )
    if path.endswith("/"):
        return "Nothing is at this path; leave out the / at its end. GET /docs shows all routes."
    return "Nothing is at this path. The API begins at /api/servers, and GET /docs shows all routes."
