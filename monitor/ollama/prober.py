"""Asks a server whether it is alive, by the cheapest question Ollama answers: its version.

A server without that path is asked for its OpenAI-style list of models instead, and from then on at once;
the version is asked for again after a check in which that list failed.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus

from monitor.domain.probe import Api, ProbeResult, Reason
from monitor.domain.server import Server
from monitor.ollama import payloads
from monitor.ollama.client import Answer, OllamaClient
from monitor.ollama.failure import Failure
from monitor.ollama.openai_servers import OpenAiServers, models_path

VERSION_PATH = "/api/version"


class HttpProber:
    """Probes over HTTP; implements `ports.Prober`."""

    def __init__(self, client: OllamaClient) -> None:
        self._client = client
        self._openai = OpenAiServers()

    async def probe(self, server: Server, /, *, connect_within: timedelta | None = None) -> ProbeResult:
        """Ask within `server.policy.timeout`: once, unless the server has no native API and that is news.

        With `connect_within` a new connection is made for it, within that time.
        """
        deadline = asyncio.get_running_loop().time() + server.policy.timeout.total_seconds()
        if self._openai.trusts(server):
            return await self._ask_openai(server, deadline, within=connect_within)
        answer = await self._client.get(server, VERSION_PATH, deadline=deadline, within=connect_within)
        if not isinstance(answer, Failure):
            self._openai.forget(server)
            return _speaking(Api.NATIVE, payloads.read_version(answer.body, latency=answer.latency), answer)
        if answer.status == HTTPStatus.NOT_FOUND:
            result = await self._ask_openai(server, deadline)
            # What was never such a server is none for failing at this too.
            if self._openai.knows(server):
                return result
        return _failed(answer)

    def refuses(self, server: Server) -> bool:
        """Return whether the server refuses a connection this very moment, without waiting for anything."""
        return self._client.refuses(server)

    async def _ask_openai(self, server: Server, deadline: float, *, within: timedelta | None = None) -> ProbeResult:
        path, most = models_path(server), self._client.max_list
        answer = await self._client.get(server, path, deadline=deadline, max_body=most, within=within)
        if isinstance(answer, Failure):
            result = _failed(answer)
        else:
            result = _speaking(Api.OPENAI, payloads.read_openai_life(answer.body, latency=answer.latency), answer)
        if result.reason is Reason.OK:
            self._openai.add(server)
        else:
            self._openai.doubt(server)
        return result


def _speaking(api: Api, result: ProbeResult, answer: Answer) -> ProbeResult:
    known = replace(result, tls_expires_at=answer.tls_expires_at)
    if result.reason is not Reason.OK:
        return known
    return replace(known, api=api, is_new_connection=answer.is_new, lost_at=answer.lost_at)


def _failed(failure: Failure) -> ProbeResult:
    return ProbeResult(reason=failure.reason, detail=failure.detail, retry_after=failure.retry_after)
