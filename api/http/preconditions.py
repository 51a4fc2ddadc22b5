"""`ETag` and `If-Match`: the row version of a server, so that nobody overwrites an edit unseen."""

import re

from aiohttp import web

from api import problems

NEVER = 0
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
        raise problems.invalid_field("If-Match", 'give one tag as ETag has it, for example "3", or *')
    if tag["weak"] or not _VERSION.fullmatch(tag["text"]):
        return NEVER
    return int(tag["text"])
