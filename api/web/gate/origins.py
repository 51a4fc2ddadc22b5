"""Requests that a foreign web page makes in somebody's browser: told by the Host and by what browsers add."""

from collections.abc import Collection, Iterable

from aiohttp import web
from yarl import URL

from api.fleet.access import hosts
from api.fleet.refusals import Refused

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A page of ours, or a person who typed the address; `same-site` is another program under a neighbouring name.
OWN_SITES = frozenset({"same-origin", "none"})
# What a page can send to a foreign site without asking that first.
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
# An origin, or a Host, that is longer is no browser's; long names take the parser of URLs quadratic time.
MAX_ORIGIN = 300


def require_own_host(request: web.Request, names: Collection[str]) -> None:
    """Refuse a request under a foreign name: a page in a browser could else reach us through its own DNS."""
    if not hosts.is_local(request.host) and hosts.name(request.host) not in names:
        raise Refused(
            "host_not_allowed",
            "The API answers only under localhost or a loopback address; ask it under one of these. Another name "
            "has to be in OLLAMA_FLEET_API_HOSTNAMES, or the request needs a token.",
        )


def require_own_site(request: web.Request, names: Collection[str]) -> None:
    """Refuse a write that another site has a browser make; programs send neither of these headers."""
    if request.method in SAFE_METHODS:
        return
    sites = request.headers.getall("Sec-Fetch-Site", ())
    origins = request.headers.getall("Origin", ())
    is_own = all(site.strip().lower() in OWN_SITES for site in sites) and all(
        _is_own_origin(origin, request.host, names) for origin in origins
    )
    if not is_own or len(origins) > 1:
        raise Refused(
            "cross_site",
            "A web page of another site had the browser send this; only pages of the API itself may change "
            "something. Nothing was changed.",
        )
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
