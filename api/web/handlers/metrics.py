"""The route that Prometheus scrapes."""

from aiohttp import web

from api.web.http import parameters, responses
from api.web.http.parameters import NoParameters
from api.web.metrics.scrape import Scrape
from api.web.openapi.operation import Operation

# The oldest format, which every scraper reads; names and labels need nothing newer.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsHandler:
    """Metrics over HTTP."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def operations(self) -> list[Operation]:
        """Return what is answered here."""
        return [
            Operation(
                tag="health",
                method="GET",
                path="/metrics",
                handler=self.read,
                summary="Tell Prometheus of the servers, the monitor and the API, in its text format",
                media_type=CONTENT_TYPE,
            )
        ]

    async def read(self, request: web.Request) -> web.Response:
        """`GET /metrics`."""
        parameters.read(request.query, NoParameters)
        return web.Response(body=await self._scrape.text(), headers={**responses.HEADERS, "Content-Type": CONTENT_TYPE})
