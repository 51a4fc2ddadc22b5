"""Answers of the API: JSON that no cache keeps and no browser takes for anything else."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import pydantic_core
from aiohttp import web
from multidict import CIMultiDict
from pydantic import BaseModel

from api.fleet.refusals import Refused
from api.web import problems

# No page of another site may load an answer, as a picture or a script either.
OWN_PAGES = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
HEADERS = {"Cache-Control": "no-store", **OWN_PAGES}
JSON_HEADERS = CIMultiDict({**HEADERS, "Content-Type": "application/json; charset=utf-8"})
# A smaller answer fits into a packet or two anyway; a bigger one is not compressed in the event loop.
COMPRESS_ABOVE_BYTES = 4 * 1024
THREAD_ABOVE_BYTES = 64 * 1024


class Fleeting(web.Response):
    """An answer that may well be another one for the same question at the same moment, so it has no tag."""


def document(
    view: BaseModel, *, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a view as JSON, compressed for a client that takes it so."""
    body = view.model_dump_json().encode()
    response = web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={**HEADERS, **(headers or {})},
        zlib_executor_size=THREAD_ABOVE_BYTES,
    )
    return _compressed(response)


def data(plain: Any, *, tag: str | None = None) -> web.Response:
    """Return plain data as JSON; `tag` tells it apart where not each difference counts."""
    return _compressed(written(pydantic_core.to_json(plain), tag=tag))


def written(json_text: bytes, *, tag: str | None = None) -> web.Response:
    """Return what is JSON already."""
    response = web.Response(body=json_text, headers=JSON_HEADERS, zlib_executor_size=THREAD_ABOVE_BYTES)
    if tag is not None:
        response.headers["ETag"] = f'W/"{tag}"'
    return response


def fleeting(json_text: bytes) -> web.Response:
    """Return what is JSON already, and is not worth a tag."""
    return Fleeting(body=json_text, headers=JSON_HEADERS)


def empty() -> web.Response:
    """Return the answer that says only that it is done."""
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=HEADERS)


def problem(refused: Refused) -> web.Response:
    """Return a refusal as RFC 9457 has it. ASCII only, since it may name a text that is not valid Unicode."""
    return web.Response(
        body=json.dumps(problems.document(refused)).encode("ascii"),
        status=problems.status(refused),
        content_type=problems.MEDIA_TYPE,
        headers={**HEADERS, **problems.headers(refused)},
    )


def _compressed(response: web.Response) -> web.Response:
    body = response.body
    if isinstance(body, bytes) and len(body) > COMPRESS_ABOVE_BYTES:
        response.enable_compression()
        response.headers["Vary"] = "Accept-Encoding"
    return response
