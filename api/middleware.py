"""Around every request: it passes the gate, is counted, and what fails is told as `application/problem+json`."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web

from api import problems
from api.http import bodies, responses
from api.metrics.traffic import Traffic
from api.problems import Problem
from api.queries.transactions import RefusedError
from api.security.gate import Gate
from monitor.domain.errors import ConfigurationError, DatabaseUnavailableError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


class Frame:
    """Gate, handler and count in one middleware: each further one would be another coroutine for every request."""

    def __init__(self, gate: Gate, traffic: Traffic) -> None:
        self._gate = gate
        self._traffic = traffic

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer whoever may ask; whatever goes wrong is a problem with a stable code."""
        began = time.perf_counter()
        try:
            await self._gate.admit(request)
            response = await handler(request)
        except Exception as error:
            response = responses.problem(_problem(request, error))
        seconds = time.perf_counter() - began
        self._traffic.count(request, response, route=route(request), seconds=seconds)
        return response


def route(request: web.Request) -> str:
    """Return the pattern that a request's path fits, `unknown` when it fits none."""
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


def _problem(request: web.Request, error: Exception) -> Problem:
    """Return what is told of an error; nothing of the inside gets out."""
    match error:
        case Problem():
            return error
        case DatabaseUnavailableError() | ConfigurationError():
            return problems.unavailable(error)
        case RefusedError():
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error))
        case web.HTTPException():
            return _from_aiohttp(request, error)
        case _:
            log.error("request_failed", method=request.method, route=route(request), exc_info=error)
            detail = "This is a fault of the API; its log says more."
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} does nothing here; this path takes {allowed}."
        return Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail, headers={"Allow": allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = f"The body has more than {bodies.MAX_BYTES // 1024} KiB. Nothing was changed; send less."
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
    if error.status == HTTPStatus.NOT_FOUND:
        return Problem(HTTPStatus.NOT_FOUND, "not_found", "Nothing is at this path; the API begins at /api/servers.")
    return Problem(HTTPStatus(error.status), "bad_request", "The request cannot be understood.")
