"""The pages of the API: the dashboard with all that it loads, and what the API says of itself.

That is `/openapi.json` for programs, `/docs` for people. Nothing is loaded from elsewhere.
"""

import functools
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from aiohttp import ETag, web
from aiohttp.hdrs import ACCEPT_ENCODING

from api.web.http import parameters
from api.web.http.parameters import NoParameters
from api.web.http.responses import HEADERS, OWN_PAGES
from api.web.openapi import document, page
from api.web.openapi.operation import Operation

PREFIX = "/dashboard/"
INDEX = "index.html"
# `data:` is for the little images that pico draws in forms. Trusted Types make the browser itself refuse to take
# any text for HTML or a script that does not come from the page's own templates.
DASHBOARD_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html chart",
    )
)
DASHBOARD_HEADERS = {
    # Kept by the browser, but asked for again each time: a new version is seen at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": DASHBOARD_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    **OWN_PAGES,
    "X-Frame-Options": "DENY",
}
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".md": "text/plain",
    ".svg": "image/svg+xml",
    "": "text/plain",
}
FOLDER = "web/dashboard"
# The page of `/docs` brings its own style; nothing else is loaded or run.
DOCS_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file, as it is and compressed; `tag` is the same exactly for the same content."""

    media_type: str
    content: bytes
    compressed: bytes
    tag: str


class DashboardHandler:
    """The page and its files; read from disk when the first one is asked for."""

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [web.get("/", self.page), web.get(PREFIX + "{path:.+}", self.file)]

    async def page(self, request: web.Request) -> web.Response:
        """`GET /`."""
        return _answer(request, self._assets[INDEX])

    async def file(self, request: web.Request) -> web.Response:
        """`GET /dashboard/{path}`."""
        asset = self._assets.get(request.match_info["path"])
        if asset is None:
            raise web.HTTPNotFound
        return _answer(request, asset)

    @functools.cached_property
    def _assets(self) -> Mapping[str, Asset]:
        return load_dashboard()


def _answer(request: web.Request, asset: Asset) -> web.Response:
    is_compressed = "gzip" in request.headers.get(ACCEPT_ENCODING, "").lower()
    response = web.Response(
        body=asset.compressed if is_compressed else asset.content,
        content_type=asset.media_type,
        charset="utf-8",
        headers=DASHBOARD_HEADERS,
    )
    # The two encodings are different bytes, and a tag may stand for only one of them.
    response.etag = ETag(value=f"{asset.tag}-gzip" if is_compressed else asset.tag)
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    if any(tag.value in {response.etag.value, "*"} for tag in request.if_none_match or ()):
        return web.Response(status=304, headers={**DASHBOARD_HEADERS, "ETag": response.headers["ETag"]})
    return response


def load_dashboard() -> Mapping[str, Asset]:
    """Read all files of the dashboard, by their path in its folder; they take some 200 kB."""
    return {path: _asset(path, file.read_bytes()) for path, file in _files(resources.files("api") / FOLDER, "")}


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif PurePosixPath(entry.name).suffix in MEDIA_TYPES:
            yield prefix + entry.name, entry


def _asset(path: str, content: bytes) -> Asset:
    return Asset(
        media_type=MEDIA_TYPES[PurePosixPath(path).suffix],
        content=content,
        # No time of writing, so that the same file always is the same bytes.
        compressed=gzip.compress(content, mtime=0),
        tag=hashlib.sha256(content).hexdigest()[:32],
    )


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
        headers = HEADERS | {"Content-Security-Policy": DOCS_POLICY, "Referrer-Policy": "no-referrer"}
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
