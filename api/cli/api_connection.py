"""One session with an API elsewhere: a question over HTTP, its answer, and every failure as one sentence."""

import json
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from api.fleet.refusals import Next, Refused
from monitor.domain.errors import ApiUnavailableError, FleetError

# Longer than any answer of the API itself takes: a check waits for the server's time-out and a little more.
SECONDS = 330.0
CONNECT_SECONDS = 5.0
AWAY = frozenset({"database_unavailable"})
# What the API says yes with.
YES = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT})
JSON = frozenset({"application/json", "application/problem+json"})
# More than the longest page of a fleet of ten thousand servers, and deeper than any answer.
MOST_BYTES = 64 * 1024 * 1024
DEEPEST = 64
LONGEST_DETAIL = 1000
OWN_MEMBERS = frozenset({"type", "title", "status", "code", "detail", "why", "next"})

Shape = TypeVar("Shape", bound=BaseModel)
Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of the API; `status` is any number, and `document` its JSON, None without a body."""

    status: int
    document: Any


class ApiConnection:
    """Asks the API at a base URL; redirects and proxies of the environment are not for a token to follow."""

    def __init__(self, base_url: str, *, token: str | None) -> None:
        self._base_url = base_url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters = (),
        body: object = None,
        media_type: str = "application/json",
    ) -> Any:
        """Return the document of an answer that says yes; raises its `Refused` otherwise."""
        reply = await self.exchange(method, path, parameters=parameters, body=body, media_type=media_type)
        if reply.status in YES:
            return reply.document
        if reply.status < HTTPStatus.BAD_REQUEST:
            raise self._stranger(f"status {reply.status}")
        raise self._refusal(reply)

    def read(self, shape: type[Shape], document: object) -> Shape:
        """Return an answer in its shape; FleetError for one that only another version understands."""
        try:
            return shape.model_validate(document)
        except ValidationError as error:
            raise self.of_another_version() from error

    def of_another_version(self) -> FleetError:
        """Return the error for an answer that is none of this version's."""
        return FleetError(
            f"The API at {self._base_url} answers in a way that this version does not understand. "
            "Install the version of ollama-fleet that runs there."
        )

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters = (),
        body: object = None,
        media_type: str = "application/json",
    ) -> Reply:
        """Return whatever is answered; raises `ApiUnavailableError` when nothing is."""
        url = URL(self._base_url + path, encoded=True).update_query(parameters)
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": media_type}
        try:
            async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
                return Reply(status=answer.status, document=await self._document(answer))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiUnavailableError(
                f"The API at {self._base_url} cannot be reached: {_why(error)}. "
                "Check OLLAMA_FLEET_API_URL, and that `ollama-fleet api` runs there."
            ) from error

    async def _document(self, answer: aiohttp.ClientResponse) -> Any:
        content = bytearray()
        async for chunk in answer.content.iter_any():
            if answer.content_type not in JSON:
                raise self._stranger(f"status {answer.status}, {answer.content_type}")
            content += chunk
            if len(content) > MOST_BYTES:
                raise self._stranger(f"status {answer.status}, and more than {MOST_BYTES >> 20} MiB")
        if not content:
            return None
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise self._stranger(f"status {answer.status}, {answer.content_type} that cannot be read") from None
        if not _is_flat(document):
            raise self._stranger(f"status {answer.status}, and JSON that is more than {DEEPEST} levels deep")
        return document

    def _stranger(self, seen: str) -> FleetError:
        return FleetError(
            f"What answers at {self._base_url} is not the API of ollama-fleet: {seen}. Correct OLLAMA_FLEET_API_URL."
        )

    def _refusal(self, reply: Reply) -> FleetError:
        document = reply.document if isinstance(reply.document, dict) else {}
        then = next((each for each in Next if each == document.get("next")), None)
        said = document.get("detail" if then is None else "why")
        if not isinstance(said, str) or not said.strip():
            said = f"The API at {self._base_url} answered {reply.status}."
        detail = textwrap.shorten(said, LONGEST_DETAIL, placeholder=" …")
        code = document.get("code")
        code = code if isinstance(code, str) and code else "unknown"
        if code in AWAY:
            return ApiUnavailableError(detail)
        members = {name: value for name, value in document.items() if name not in OWN_MEMBERS}
        return Refused(code, detail, next=then, **members)


def _is_flat(document: Any) -> bool:
    """Whether a document is of lists and objects that a program can walk down without end of its stack."""
    level = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return False


def _why(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.errno) if error.errno else str(error.os_error)
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") or type(error).__name__
