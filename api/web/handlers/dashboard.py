"""The dashboard's files over HTTP: one page and what it loads, all from here and nothing from elsewhere."""

import functools
from collections.abc import Mapping

from aiohttp import ETag, web
from aiohttp.hdrs import ACCEPT_ENCODING

from api.web.http import assets
from api.web.http.assets import Asset

FOLDER = "/dashboard/"
PAGE = "index.html"
# `data:` is for the little images that pico draws in forms. Trusted Types make the browser itself refuse to take
# any text for HTML or a script that does not come from the page's own templates.
CONTENT_SECURITY_POLICY = "; ".join(
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
HEADERS = {
    # Kept by the browser, but asked for again each time: a new version is seen at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class DashboardHandler:
    """The page and its files; read from disk when the first one is asked for."""

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered here."""
        return [web.get("/", self.page), web.get(FOLDER + "{path:.+}", self.file)]

    async def page(self, request: web.Request) -> web.Response:
        """`GET /`."""
        return _answer(request, self._assets[PAGE])

    async def file(self, request: web.Request) -> web.Response:
        """`GET /dashboard/{path}`."""
        asset = self._assets.get(request.match_info["path"])
        if asset is None:
            raise web.HTTPNotFound
        return _answer(request, asset)

    @functools.cached_property
    def _assets(self) -> Mapping[str, Asset]:
        return assets.load()


def _answer(request: web.Request, asset: Asset) -> web.Response:
    is_compressed = "gzip" in request.headers.get(ACCEPT_ENCODING, "").lower()
    response = web.Response(
        body=asset.compressed if is_compressed else asset.content,
        content_type=asset.media_type,
        charset="utf-8",
        headers=HEADERS,
    )
    # The two encodings are different bytes, and a tag may stand for only one of them.
    response.etag = ETag(value=f"{asset.tag}-gzip" if is_compressed else asset.tag)
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    if any(tag.value in {response.etag.value, "*"} for tag in request.if_none_match or ()):
        return web.Response(status=304, headers={**HEADERS, "ETag": response.headers["ETag"]})
    return response
