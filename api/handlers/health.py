"""Whether the API lives (asks nobody), and whether it can do its work (asks the database)."""

from http import HTTPStatus

from aiohttp import web

from api import responses
from api.registry import Registry
from api.views import Liveness


class HealthHandler:
    """Liveness and readiness over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [web.get("/livez", self.live), web.get("/readyz", self.ready)]

    async def live(self, _: web.Request) -> web.Response:
        """`GET /livez`."""
        return responses.document(Liveness())

    async def ready(self, _: web.Request) -> web.Response:
        """`GET /readyz`."""
        report = await self._registry.readiness()
        status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return responses.document(report, status=status)
