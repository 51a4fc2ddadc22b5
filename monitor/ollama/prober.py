"""Asks a server whether it is alive, by the cheapest question Ollama answers: its version.

A server whose answer is not Ollama's is asked for its OpenAI-style list of models as well, and if it gives one, from
then on at once; the version is asked for again after a check in which that list failed, and now and then. What an
operator has pinned is asked for alone.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus

from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.server import Api, Server
from monitor.ollama import openai_servers, payloads
from monitor.ollama.client import OllamaClient
from monitor.ollama.failure import Failure
from monitor.ollama.openai_servers import CHECKS_UNTIL_NATIVE, Remembered, Standoff, models_path

VERSION_PATH = "/api/version"


class HttpProber:
    """Probes over HTTP; implements `ports.Prober`. `spoken` is on which API each server gave its last good answer."""

    def __init__(self, client: OllamaClient) -> None:
        self._client = client
        self.spoken: Remembered[Api] = Remembered()
        # Of a server that speaks the OpenAI-style API alone: how many checks it takes that for granted, 0 for none.
        self._openai: Remembered[int] = Remembered()
        self._standoffs: Remembered[Standoff] = Remembered()

    async def probe(self, server: Server, /, *, connect_within: timedelta | None = None) -> ProbeResult:
        """Ask within `server.policy.timeout`: once, unless the server has no native API and that is news.

        With `connect_within` a new connection is made for it, within that time.
        """
        deadline = asyncio.get_running_loop().time() + server.policy.timeout.total_seconds()
        if server.pinned is not None:
            return (await self._ask(server.pinned, server, deadline, within=connect_within))[0]
        if trust := self._openai.get(server):
            return await self._ask_known(server, deadline, trust=trust, within=connect_within)
        standoff = self._standoffs.get(server)
        if standoff is not None:
            asked = Api.OPENAI if standoff.last is Api.NATIVE else Api.NATIVE
            result, _ = await self._ask(asked, server, deadline, within=connect_within)
            if result == (standoff.openai if asked is Api.OPENAI else standoff.native):
                self._standoffs.put(server, replace(standoff, last=asked))
                return standoff.verdict
        return await self._ask_both(server, deadline, within=connect_within)

    def refuses(self, server: Server) -> bool:
        """Return whether the server refuses a connection this very moment, without waiting for anything."""
        return self._client.refuses(server)

    async def _ask_known(self, server: Server, deadline: float, *, trust: int, within: timedelta | None) -> ProbeResult:
        result, _ = await self._ask(Api.OPENAI, server, deadline, within=within)
        if result.reason is not Reason.OK:
            self._openai.put(server, 0)
            return result
        if trust > 1:
            self._openai.put(server, trust - 1)
            return result
        native, _ = await self._ask(Api.NATIVE, server, deadline)
        if native.reason is Reason.OK:
            self._openai.forget(server)
            return native
        self._openai.put(server, CHECKS_UNTIL_NATIVE)
        return result

    async def _ask_both(self, server: Server, deadline: float, *, within: timedelta | None) -> ProbeResult:
        self._standoffs.forget(server)
        native, failure = await self._ask(Api.NATIVE, server, deadline, within=within)
        if native.reason is Reason.OK:
            self._openai.forget(server)
        if not openai_servers.may_speak(failure or native):
            return native
        openai, refused = await self._ask(Api.OPENAI, server, deadline)
        if openai.reason is Reason.OK:
            self._openai.put(server, CHECKS_UNTIL_NATIVE)
            return openai
        # What was never such a server is none for failing at this too.
        verdict = openai if self._openai.get(server) is not None or _wants_credential(refused) else native
        if verdict is native and failure is not None:
            verdict = _failed(
                await openai_servers.explain_forbidden(self._client, server, failure, VERSION_PATH, deadline=deadline)
            )
        if Reason.AUTH in {native.reason, openai.reason} or native.reason is Reason.HOST_RULE:
            self._standoffs.put(server, Standoff(native=native, openai=openai, verdict=verdict, last=Api.OPENAI))
        return verdict

    async def _ask(
        self, api: Api, server: Server, deadline: float, *, within: timedelta | None = None
    ) -> tuple[ProbeResult, Failure | None]:
        if api is Api.NATIVE:
            answer = await self._client.get(server, VERSION_PATH, deadline=deadline, within=within)
        else:
            path, most = models_path(server), self._client.max_list
            answer = await self._client.get(server, path, deadline=deadline, max_body=most, within=within)
        if isinstance(answer, Failure):
            return _failed(answer), answer
        read = payloads.read_version if api is Api.NATIVE else payloads.read_openai_life
        result = read(answer.body, latency=answer.latency)
        result = replace(result, tls_expires_at=answer.tls_expires_at)
        if result.reason is not Reason.OK:
            return result, None
        self.spoken.put(server, api)
        return replace(result, api=api, is_new_connection=answer.is_new, lost=answer.lost), None


def _wants_credential(refused: Failure | None) -> bool:
    return refused is not None and refused.status == HTTPStatus.UNAUTHORIZED


def _failed(failure: Failure) -> ProbeResult:
    return ProbeResult(reason=failure.reason, detail=failure.detail, retry_after=failure.retry_after)
