"""Reading a request's JSON body: bounded in size, time, depth and members, and nothing in it read in two ways."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from api.fleet import refusals, texts
from api.fleet.refusals import Refused
from api.web.http.connections import CONNECTIONS
from api.web.problems import HttpRefused

MAX_BYTES = 64 * 1024
MAX_SECONDS = 10.0
# The largest object that is taken is one of labels; each member too many would cost an error of its own.
MAX_MEMBERS = 4 * texts.MAX_LABELS
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

M = TypeVar("M", bound=BaseModel)


async def read(request: web.Request, shape: type[M], *, media_types: tuple[str, ...] = (JSON,)) -> M:
    """Return the body as `shape`; raises the `Refused` that says what is wrong with it."""
    _require_type(request, media_types)
    try:
        with request.app[CONNECTIONS].waiting(request.protocol):
            async with asyncio.timeout(MAX_SECONDS):
                raw = await request.read()
    except TimeoutError as error:
        raise HttpRefused(
            "body_too_slow",
            f"The body did not arrive within {MAX_SECONDS:.0f} s. Nothing was changed; send it again.",
            headers={"Connection": "close"},
        ) from error
    try:
        return shape.model_validate(parse(raw))
    except ValidationError as error:
        raise refusals.invalid(error) from error


def _require_type(request: web.Request, media_types: tuple[str, ...]) -> None:
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    charset = (request.charset or "utf-8").lower()
    if request.content_type not in media_types or encoding != "identity" or charset not in {"utf-8", "utf8"}:
        raise Refused(
            "unsupported_media_type",
            f"The body must be JSON in UTF-8 and not compressed, with `Content-Type: {' or '.join(media_types)}`.",
        )


def parse(raw: bytes) -> object:
    """Return the document in the bytes of a body; raises the 400 `Refused` of one that cannot be read in one way."""
    try:
        document: object = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
        # An escaped half of a surrogate pair is text to Python, but to nobody else.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise _not_json("it is nested too deeply") from error
    except UnicodeError as error:
        raise _not_json("it is not valid UTF-8") from error
    except ValueError as error:
        raise _not_json(str(error)) from error
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise ValueError(f"an object has more than {MAX_MEMBERS} members")
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("an object has the same member twice")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _not_json(why: str) -> Refused:
    return Refused("bad_json", f"The body is not usable JSON: {why}. Nothing was changed.")
