"""One route of the API: what answers it, and all that the description of the API says of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from api.fleet.filters import Parameters
from api.web.http.bodies import JSON
from api.web.http.parameters import NoParameters

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` is spelt as aiohttp has it, `problems` are codes of `codes.CODES` beyond those any route answers.

    `answer` is the shape of the body with `status`, None for an empty one; `media_type` its type, and
    `example` a document of that shape. `headers` are those of the request that count, each with its meaning.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    parameters: type[Parameters] = NoParameters
    headers: dict[str, str] | None = None
    body: type[BaseModel] | None = None
    body_types: tuple[str, ...] = (JSON,)
    answer: type[BaseModel] | None = None
    status: HTTPStatus = HTTPStatus.OK
    media_type: str = JSON
    problems: tuple[str, ...] = ()
    other_answers: dict[HTTPStatus, type[BaseModel]] | None = None
    example: Any = None
    body_example: Any = None
    allow_head: bool = True

    def route(self) -> web.RouteDef:
        """Return it for aiohttp's router."""
        if self.method == "GET":
            return web.get(self.path, self.handler, allow_head=self.allow_head)
        return web.route(self.method, self.path, self.handler)
