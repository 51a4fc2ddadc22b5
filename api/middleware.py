"""Around every request: every failure is answered as `application/problem+json`."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web

from api import bodies, problems, responses
from api.problems import Problem
from api.queries.transactions import RefusedError
from monitor.domain.errors import ConfigurationError, DatabaseUnavailableError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


@web.middleware
async def tell_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever goes wrong as a problem with a stable code; nothing of the inside gets out."""
    try:
        return await handler(request)
    except Problem as problem:
        return responses.problem(problem)
    except (DatabaseUnavailableError, ConfigurationError) as error:
        return responses.problem(problems.unavailable(error))
    except RefusedError as error:
        return responses.problem(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)))
    except web.HTTPException as error:
        return responses.problem(_from_aiohttp(request, error))
    except Exception:
        log.exception("request_failed", method=request.method, route=route(request))
        return responses.problem(
            Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "This is a fault of the API; its log says more.")
        )


def route(request: web.Request) -> str:
    """Return the pattern that a request's path fits, `unknown` when it fits none."""
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


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
