"""Asks a server what it has on disk and in memory, and what a model can do; never loads a model.

A server whose native list is not Ollama's is asked for its OpenAI-style one, which gives names and nothing else. One
whose API an operator has pinned is asked on that alone.
"""

import asyncio
import json
from datetime import timedelta
from http import HTTPStatus

from monitor.domain.probe import Listing, Reason, Residency, ShownModel
from monitor.domain.server import Api, Server
from monitor.ollama import openai_servers, payloads
from monitor.ollama.client import Answer, OllamaClient
from monitor.ollama.failure import Failure
from monitor.ollama.openai_servers import Remembered, models_path

LIST_PATH = "/api/tags"
RESIDENCY_PATH = "/api/ps"
SHOW_PATH = "/api/show"
# A model that is deleted during a listing can make a 500 of the whole list: that is over at once.
SECOND_TRY_SECONDS = 0.2


class HttpLister:
    """Lists over HTTP; implements `ports.Lister`.

    Each question has the time-out of the server's policy, or `timeout` when one is given: a list of
    many models on a slow disk may need longer than a sign of life. `spoken` is on which API a server has shown that
    it is alive: where that is Ollama's own, a list that is not Ollama's is no reason to take another one.
    """

    def __init__(
        self,
        client: OllamaClient,
        *,
        timeout: timedelta | None = None,
        spoken: Remembered[Api] | None = None,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._spoken: Remembered[Api] = Remembered() if spoken is None else spoken
        # On which API a server has given its list.
        self._listed_on: Remembered[Api] = Remembered()

    async def list_models(self, server: Server, /) -> Listing:
        """List what the server has on disk."""
        deadline = self._deadline(server)
        if server.pinned is Api.OPENAI:
            return (await self._list_openai(server, deadline))[0]
        answer = await self._ask_list(server, deadline)
        if isinstance(answer, Failure) and answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            answer = await self._ask_list_again(server, deadline, answer)
        native = _failed(answer) if isinstance(answer, Failure) else payloads.read_listing(answer.body)
        if native.reason is Reason.OK:
            self._listed_on.put(server, Api.NATIVE)
            return native
        if self._may_speak_openai(server, answer if isinstance(answer, Failure) else native):
            listing, status = await self._list_openai(server, deadline)
            if self._listed_on.get(server) is Api.OPENAI or status == HTTPStatus.UNAUTHORIZED:
                return listing
        if isinstance(answer, Failure):
            return _failed(
                await openai_servers.explain_forbidden(self._client, server, answer, LIST_PATH, deadline=deadline)
            )
        return native

    async def list_loaded(self, server: Server, /) -> Residency:
        """List what the server has in memory; servers before 0.1.38 cannot tell, nor can those of the other API."""
        if self._speaks_openai(server):
            return Residency(reason=Reason.OK)
        answer = await self._client.get(
            server, RESIDENCY_PATH, deadline=self._deadline(server), max_body=self._client.max_list
        )
        if isinstance(answer, Answer):
            return payloads.read_residency(answer.body)
        if answer.status == HTTPStatus.NOT_FOUND:
            return Residency(reason=Reason.OK)
        return Residency(reason=answer.reason, detail=answer.detail)

    async def show(self, server: Server, model_name: str, /) -> ShownModel:
        """Ask for the capabilities of one model; a server without the native list cannot tell, and is not asked."""
        if self._speaks_openai(server):
            return ShownModel(reason=Reason.OK)
        answer = await self._client.post(
            server,
            SHOW_PATH,
            body=json.dumps({"model": model_name}).encode(),
            deadline=self._deadline(server),
            # Model files and templates come along and can be long.
            max_body=self._client.max_list,
        )
        if isinstance(answer, Answer):
            return payloads.read_shown(answer.body)
        if answer.status == HTTPStatus.NOT_FOUND:
            return ShownModel(reason=answer.reason, detail="The server does not know the model (HTTP 404).")
        return ShownModel(reason=answer.reason, detail=answer.detail)

    async def _list_openai(self, server: Server, deadline: float) -> tuple[Listing, int | None]:
        """Return the list of the OpenAI-style API, and the status of an answer that is none."""
        path, most = models_path(server), self._client.max_list
        answer = await self._client.get(server, path, deadline=deadline, max_body=most)
        if isinstance(answer, Failure):
            return _failed(answer), answer.status
        listing = payloads.read_openai_listing(answer.body)
        if listing.reason is Reason.OK:
            self._listed_on.put(server, Api.OPENAI)
        return listing, None

    def _speaks_openai(self, server: Server) -> bool:
        return (server.pinned or self._listed_on.get(server)) is Api.OPENAI

    def _may_speak_openai(self, server: Server, answer: Failure | Listing) -> bool:
        """Whether the other list may be the server's; of one with the native API, only if its list is not there."""
        if server.pinned is not None or not openai_servers.may_speak(answer):
            return False
        is_missing = isinstance(answer, Failure) and answer.status == HTTPStatus.NOT_FOUND
        return is_missing or Api.NATIVE not in {self._listed_on.get(server), self._spoken.get(server)}

    async def _ask_list_again(self, server: Server, deadline: float, first: Failure) -> Answer | Failure:
        if asyncio.get_running_loop().time() + SECOND_TRY_SECONDS >= deadline:
            return first
        await asyncio.sleep(SECOND_TRY_SECONDS)
        return await self._ask_list(server, deadline)

    async def _ask_list(self, server: Server, deadline: float) -> Answer | Failure:
        return await self._client.get(server, LIST_PATH, deadline=deadline, max_body=self._client.max_list)

    def _deadline(self, server: Server) -> float:
        timeout = self._timeout or server.policy.timeout
        return asyncio.get_running_loop().time() + timeout.total_seconds()


def _failed(failure: Failure) -> Listing:
    return Listing(reason=failure.reason, detail=failure.detail, retry_after=failure.retry_after)
