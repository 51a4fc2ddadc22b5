"""What the API says of itself: `/openapi.json` for programs, `/docs` for people."""

import functools
import json
from collections.abc import Sequence

from aiohttp import web

from api.web.http import parameters
from api.web.http.parameters import NoParameters
from api.web.http.responses import HEADERS
from api.web.openapi import document, page
from api.web.openapi.operation import Operation

# The page brings its own style; nothing else is loaded or run.
PAGE_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class DescriptionHandler:
    """The description, made when somebody asks for the first time."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [
            web.get("/openapi.json", self.describe),
            web.get("/docs", self.show),
            web.get("/docs/style.css", self.style),
        ]

    async def describe(self, request: web.Request) -> web.Response:
        """`GET /openapi.json`."""
        parameters.read(request.query, NoParameters)
        return web.Response(body=self._json, content_type="application/json", headers=HEADERS)

    async def show(self, request: web.Request) -> web.Response:
        """`GET /docs`."""
        parameters.read(request.query, NoParameters)
        headers = HEADERS | {"Content-Security-Policy": PAGE_POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=headers)

    async def style(self, request: web.Request) -> web.Response:
        """`GET /docs/style.css`."""
        parameters.read(request.query, NoParameters)
        return web.Response(text=page.STYLE, content_type="text/css", headers=HEADERS)

    @functools.cached_property
    def _json(self) -> bytes:
        return json.dumps(document.build(self._operations)).encode()

    @functools.cached_property
    def _page(self) -> bytes:
        return page.render(json.loads(self._json)).encode()
