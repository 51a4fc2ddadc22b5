"""`ETag`, `If-Match` and `If-None-Match`: nobody overwrites an edit unseen, or is sent what he has already.

The tag of one server is its row version. Any other answer is told apart by what is in it.
"""

import hashlib
import re
from http import HTTPStatus

from aiohttp import web

from api.fleet import refusals
from api.web.http.responses import OWN_PAGES

NEVER = 0
TAG_BYTES = 12
KEPT_IN_304 = frozenset({"ETag", "Cache-Control", "Vary", *OWN_PAGES})
_TAG = re.compile(r'(?P<weak>W/)?"(?P<text>[\x21\x23-\x7e]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


def etag(row_version: int) -> str:
    """Return the tag of a row version."""
    return f'"{row_version}"'


def if_match(request: web.Request) -> int | None:
    """Return the row version that the request insists on, None if any will do.

    A tag that is not of ours, or is weak, matches nothing: that is row version `NEVER`.
    """
    values = request.headers.getall("If-Match", [])
    if not values or values == ["*"]:
        return None
    tag = _TAG.fullmatch(values[0].strip())
    if tag is None or len(values) > 1:
        raise refusals.invalid_field("If-Match", 'give one tag as ETag has it, for example "3", or *')
    if tag["weak"] or not _VERSION.fullmatch(tag["text"]):
        return NEVER
    return int(tag["text"])


def digest(content: bytes) -> str:
    """Return what tells one content from another in a tag."""
    return hashlib.blake2b(content, digest_size=TAG_BYTES).hexdigest()


def unless_known(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Return an answer in JSON with its tag, or 304 in its place if the client names that tag."""
    headers = response.headers
    if "ETag" not in headers:
        if response.content_type != "application/json" or not isinstance(response, web.Response):
            return response
        assert isinstance(response.body, bytes)
        headers["ETag"] = f'W/"{digest(response.body)}"'
    if "If-None-Match" not in request.headers:
        return response
    tag = headers["ETag"].removeprefix("W/").strip('"')
    if all(known.value not in {tag, "*"} for known in request.if_none_match or ()):
        return response
    kept = {name: value for name, value in headers.items() if name in KEPT_IN_304}
    return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=kept)
