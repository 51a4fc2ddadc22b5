"""Asks a server whether it is alive, by the cheapest question Ollama answers: its version."""

import asyncio

from monitor.domain.probe import ProbeResult
from monitor.domain.server import Server
from monitor.ollama import payloads
from monitor.ollama.client import OllamaClient
from monitor.ollama.failure import Failure

VERSION_PATH = "/api/version"


class HttpProber:
    """Probes over HTTP; implements `ports.Prober`."""

    def __init__(self, client: OllamaClient) -> None:
        self._client = client

    async def probe(self, server: Server, /) -> ProbeResult:
        """Ask once, within `server.policy.timeout`."""
        deadline = asyncio.get_running_loop().time() + server.policy.timeout.total_seconds()
        answer = await self._client.get(server.url, VERSION_PATH, deadline=deadline)
        if isinstance(answer, Failure):
            return ProbeResult(reason=answer.reason, detail=answer.detail, retry_after=answer.retry_after)
        return payloads.read_version(answer.body, latency=answer.latency)
