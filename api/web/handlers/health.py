"""Whether the API lives (asks nobody), whether it can do its work (asks the database), and what Prometheus scrapes."""

from http import HTTPStatus

from aiohttp import web

from api.fleet.registry import Registry
from api.fleet.views import Liveness, ReadinessReport
from api.web.gate import access
from api.web.http import parameters, responses
from api.web.http.parameters import NoParameters
from api.web.metrics.scrape import Scrape
from api.web.openapi.operation import Operation

# The oldest format, which every scraper reads; names and labels need nothing newer.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HealthHandler:
    """Liveness, readiness and metrics over HTTP."""

    def __init__(self, registry: Registry, scrape: Scrape) -> None:
        self._registry = registry
        self._scrape = scrape

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
            Operation(
                tag="health",
                method="GET",
                path="/metrics",
                handler=self.read,
                summary="Tell Prometheus of the servers, the monitor and the API, in its text format",
                media_type=CONTENT_TYPE,
            ),
        ]

    async def live(self, _: web.Request) -> web.Response:
        """`GET /livez`."""
        return responses.document(Liveness())

    async def ready(self, request: web.Request) -> web.Response:
        """`GET /readyz`."""
        report = await self._registry.readiness(names_database=access.may_read(request))
        status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return responses.document(report, status=status)

    async def read(self, request: web.Request) -> web.Response:
        """`GET /metrics`."""
        parameters.read(request.query, NoParameters)
        return web.Response(body=await self._scrape.text(), headers={**responses.HEADERS, "Content-Type": CONTENT_TYPE})
