"""The course of one request, step by step with its times, for a person who asks where it fails.

The probes' own dialer and client do the work; what is here only looks on, so that both see the same.
"""

import functools
import socket
import ssl
import time
from asyncio import Transport
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp

from monitor.domain import credential as credentials
from monitor.domain.credential import Unreadable
from monitor.domain.server import Server
from monitor.ollama import fields, guard
from monitor.ollama.client import MAX_BODY, Answer, OllamaClient
from monitor.ollama.dialer import Dialer, P
from monitor.ollama.failure import Failure
from monitor.ollama.names import NameResolver
from monitor.ollama.race import Endpoint
from monitor.ollama.tls import Contexts, Security

MAX_SEEN = 300
MAX_FACT = 80
TELLING_HEADERS = ("Content-Type", "Server", "Location", "Retry-After", "WWW-Authenticate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: how long it took, and what was seen in at most 300 printable characters."""

    name: str
    ok: bool
    seconds: float
    seen: str


class Trace:
    """Collects the steps in the order in which they happen."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._running = "url"
        self._about = ""
        self._began = time.perf_counter()

    def begin(self, name: str, about: str = "") -> None:
        """Begin a step; `about` is said of it if it fails."""
        self._running, self._about, self._began = name, about, time.perf_counter()

    def end(self, seen: str, *, ok: bool = True) -> None:
        """End the step that runs."""
        seconds = time.perf_counter() - self._began
        self._steps.append(Step(name=self._running, ok=ok, seconds=seconds, seen=fields.clean(seen, MAX_SEEN)))

    def fail(self, why: str) -> None:
        """End the step that runs, as the one at which the request failed."""
        self.end(f"{self._about}: {why}" if self._about else why, ok=False)

    def take(self) -> list[Step]:
        """Return the steps so far, once."""
        steps, self._steps = self._steps, []
        return steps


class ObservedDialer(Dialer):
    """Makes connections like any dialer, and tells of each step."""

    def __init__(self, trace: Trace, *, names: NameResolver, allowed_networks: Sequence[guard.Network]) -> None:
        super().__init__(names=names, allowed_networks=allowed_networks)
        self._trace = trace

    async def _look_up(self, host: str) -> list[str]:
        self._trace.begin("resolve", host)
        found = await super()._look_up(host)
        self._trace.end("an address, no name to look up" if found == [host] else f"{host} is {', '.join(found)}")
        return found

    def _admit(self, found: Sequence[str], port: int) -> list[Endpoint]:
        self._trace.begin("guard", ", ".join(found))
        endpoints = super()._admit(found, port)
        passed = [endpoint.host for endpoint in endpoints]
        refused = [address for address in found if address not in passed]
        self._trace.end(f"allowed: {', '.join(passed)}" + (f"; refused: {', '.join(refused)}" if refused else ""))
        return endpoints

    async def _connect(self, endpoints: Sequence[Endpoint]) -> socket.socket:
        tried = ", ".join(_spelt(endpoint.host, endpoint.port) for endpoint in endpoints)
        self._trace.begin("connect", tried)
        connection = await super()._connect(endpoints)
        chosen = "" if len(endpoints) == 1 else f", the first of {len(endpoints)} addresses to answer"
        self._trace.end(f"connected to {_peer(connection)}{chosen}")
        # If nothing else happens, the connection ended before the question was out.
        self._trace.begin("head")
        return connection

    async def _shake_hands(
        self, connection: socket.socket, security: Security, factory: Callable[[], P]
    ) -> tuple[Transport, P]:
        self._trace.begin("tls", security.name)
        transport, protocol = await super()._shake_hands(connection, security, factory)
        self._trace.end(_secured(transport.get_extra_info("ssl_object")))
        self._trace.begin("head")
        return transport, protocol


class ObservedClient(OllamaClient):
    """Asks like any client, and tells of each step; for one request at a time."""

    def __init__(
        self,
        trace: Trace,
        *,
        allowed_networks: Sequence[guard.Network],
        names: NameResolver | None,
        tls: Contexts | None,
    ) -> None:
        observer = aiohttp.TraceConfig()
        observer.on_request_headers_sent.append(self._asked)
        observer.on_request_end.append(self._answered)
        super().__init__(
            allowed_networks=allowed_networks,
            names=names,
            tls=tls,
            make_dialer=functools.partial(ObservedDialer, trace),
            observers=[observer],
        )
        self._trace = trace
        self._content: aiohttp.StreamReader | None = None

    async def get(
        self, server: Server, path: str, *, deadline: float, max_body: int = MAX_BODY, within: timedelta | None = None
    ) -> Answer | Failure:
        """Ask with GET, and end the last step by what came of it."""
        self._content = None
        self._tell_of_credential(server)
        answer = await super().get(server, path, deadline=deadline, max_body=max_body, within=within)
        if isinstance(answer, Answer):
            self._trace.end(f"{len(answer.body)} bytes")
        elif self._content is not None and answer.status is not None:
            self._trace.end(f"{self._content.total_bytes} bytes, not read as an answer")
        else:
            self._trace.fail(answer.detail)
        # The next question may find the connection still open, and then begins with this.
        self._trace.begin("head", f"GET {path}")
        return answer

    def _tell_of_credential(self, server: Server) -> None:
        """Begin with the credential; it is the step that fails when it cannot be opened."""
        if server.credential is None:
            return
        self._trace.begin("credential")
        if not isinstance(server.credential, Unreadable):
            self._trace.end(f"sent along: {', '.join(credentials.headers(server.credential))}")

    async def _asked(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        request: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        self._trace.begin("head", f"{request.method} {request.url.raw_path}")

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, request: aiohttp.TraceRequestEndParams
    ) -> None:
        response = request.response
        facts = [f"{request.method} {request.url.raw_path}: HTTP {response.status} {response.reason or ''}".strip()]
        facts += [f"{name} {response.headers[name]}" for name in TELLING_HEADERS if name in response.headers]
        self._trace.end(", ".join(fields.clean(fact, MAX_FACT) for fact in facts), ok=response.status == HTTPStatus.OK)
        self._content = response.content
        self._trace.begin("body")


def _peer(connection: socket.socket) -> str:
    try:
        host, port = connection.getpeername()[:2]
    except OSError:
        return "one that hung up at once"
    return _spelt(host, port)


def _spelt(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _secured(connection: ssl.SSLObject) -> str:
    """Return what was agreed on, and whose certificate it is until when."""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
    whose = subject.get("commonName") or ", ".join(str(name) for _, name in certificate.get("subjectAltName", ()))
    return f"{connection.version()}, certificate of {whose}, valid until {certificate.get('notAfter', 'no stated day')}"
