"""Whether the API lives (asks nobody), and whether it can do its work (asks the database)."""

from http import HTTPStatus

from aiohttp import web

from api.fleet.registry import Registry
from api.fleet.views import Liveness, ReadinessReport
from api.web.http import responses
from api.web.openapi.operation import Operation


class HealthHandler:
    """Liveness and readiness over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> list[Operation]:
        """Return what is answered here."""
        return [
            Operation(
                tag="health",
                method="GET",
                path="/livez",
                handler=self.live,
                summary="Tell that the process answers; asks nobody",
                answer=Liveness,
            ),
            Operation(
                tag="health",
                method="GET",
                path="/readyz",
                handler=self.ready,
                summary="Tell whether the API can do its work, with a reason for each part that cannot",
                answer=ReadinessReport,
                other_answers={HTTPStatus.SERVICE_UNAVAILABLE: ReadinessReport},
            ),
        ]

    async def live(self, _: web.Request) -> web.Response:
        """`GET /livez`."""
        return responses.document(Liveness())

    async def ready(self, _: web.Request) -> web.Response:
        """`GET /readyz`."""
        report = await self._registry.readiness()
        status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return responses.document(report, status=status)
