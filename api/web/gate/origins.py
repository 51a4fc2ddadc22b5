"""Requests that a foreign web page makes in somebody's browser: told by the Host and by what browsers add."""

from collections.abc import Collection, Iterable

from aiohttp import web
from multidict import istr
from yarl import URL

from api.fleet.access import hosts
from api.fleet.refusals import Refused

# What browsers add to each request, and no page can change.
SITE = istr("Sec-Fetch-Site")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A page of ours, or a person who typed the address; `same-site` is another program, as on another port of localhost.
OWN_SITES = frozenset({"same-origin", "none"})
# What holds no data of the fleet, and asks the database nothing: other sites may link to it.
PAGES = frozenset({"/", "/docs", "/openapi.json"})
FOLDERS_OF_PAGES = ("/docs/", "/dashboard/")
# What a page can send to a foreign site without asking that first.
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
# An origin, or a Host, that is longer is no browser's; long names take the parser of URLs quadratic time.
MAX_ORIGIN = 300


def is_page(path: str) -> bool:
    """Whether a path is that of a page, or of what a page loads."""
    return path in PAGES or path.startswith(FOLDERS_OF_PAGES)


def require_own_host(request: web.Request) -> None:
    """Refuse a request under a foreign name: a page in a browser could else reach us through its own DNS."""
    if not hosts.is_local(request.host):
        raise Refused(
            "host_not_allowed",
            "Without a token the API answers only under localhost or a loopback address; ask it under one of these. "
            "For another name make a token with `ollama-fleet token create NAME --scope read`, and send that.",
        )


def require_own_site(request: web.Request, names: Collection[str]) -> None:
    """Refuse what another site has a browser send; programs send neither of these headers.

    A question is refused, too: its answer stays hidden from the page, but not how long it took, and each one costs.
    A link to a page that holds no data of the fleet leads there.
    """
    is_safe = request.method in SAFE_METHODS
    if is_safe and is_page(request.rel_url.path):
        return
    sites = request.headers.getall(SITE, ())
    origins = request.headers.getall("Origin", ())
    is_own = all(site.strip().lower() in OWN_SITES for site in sites) and all(
        _is_own_origin(origin, request.host, names) for origin in origins
    )
    if not is_own or len(origins) > 1:
        raise Refused(
            "cross_site",
            "A web page of another site had the browser send this, and only pages of the API itself may. Open the "
            "dashboard at /, or type the address. Nothing was changed.",
        )
    if is_safe:
        return
    if request.body_exists and request.content_type in FORMS:
        raise Refused(
            "unsupported_media_type",
            "The body must be JSON, not a form: send it with `Content-Type: application/json`. Nothing was changed.",
        )


def _is_own_origin(origin: str, host: str, names: Collection[str]) -> bool:
    if max(len(origin), len(host)) > MAX_ORIGIN:
        return False
    # The scheme is left out: a proxy may speak TLS to the browser and none to us.
    try:
        parts = URL(origin.strip())
        if parts.scheme not in {"http", "https"} or parts.host is None:
            return False
        own = URL(f"{parts.scheme}://{host}")
    except ValueError:
        return False
    return (parts.host, parts.port) == (own.host, own.port) or (parts.raw_host or "") in names


def spelt(names: Iterable[str]) -> frozenset[str]:
    """Return host names as browsers send them: in lower case and ASCII, without a port."""
    return frozenset(map(hosts.ascii_name, names)) - {""}
