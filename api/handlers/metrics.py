"""The route that Prometheus scrapes."""

from aiohttp import web

from api import responses
from api.metrics.scrape import Scrape

# The oldest format, which every scraper reads; names and labels need nothing newer.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsHandler:
    """Metrics over HTTP."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [web.get("/metrics", self.read)]

    async def read(self, _: web.Request) -> web.Response:
        """`GET /metrics`."""
        return web.Response(body=await self._scrape.text(), headers={**responses.HEADERS, "Content-Type": CONTENT_TYPE})
