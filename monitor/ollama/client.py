"""One question to an Ollama server over HTTP: an answer's bytes or one reason, never an exception.

One deadline covers everything from the name to the last byte, and every byte is counted. Redirects,
cookies and proxies of the environment are not for a monitor: none is used. No content encoding is asked for either, but
what a proxy packs all the same is unpacked, up to the same number of bytes. A server's credential goes along with each
question to it, and nowhere else.
"""

import asyncio
import functools
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from importlib import metadata
from types import TracebackType
from typing import Self, cast

import aiohttp
from yarl import URL

from monitor.domain import credential as credentials
from monitor.domain import url as base_url
from monitor.domain.credential import Credential
from monitor.domain.errors import InvalidUrlError
from monitor.domain.probe import Lost, Reason
from monitor.domain.server import Server
from monitor.ollama import connector, failure, fields, guard, refusal
from monitor.ollama.connector import GuardedConnector
from monitor.ollama.dialer import Dialer
from monitor.ollama.failure import Failure, FailureError
from monitor.ollama.names import NameResolver
from monitor.ollama.refusal import Refusal
from monitor.ollama.tls import Contexts, Security

DISTRIBUTION = "ollama-fleet"
MAX_BODY = 64 * 1024
MAX_LIST = 2 * 1024 * 1024
MAX_HEADER_LINE = 8190
MAX_HEADERS = 128
MAX_TARGETS = 65_536
NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
IDENTITY = {"", "identity"}
GZIP, DEFLATE = frozenset({"gzip", "x-gzip"}), "deflate"
GZIP_WINDOW = zlib.MAX_WBITS | 16
ZLIB_METHOD, ZLIB_CHECK = 8, 31
LARGER = "The answer is larger than is accepted{}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of an answer with status 200; `latency` is the time to its last byte.

    `tls_expires_at` is the end of the server's certificate. `is_new`: the connection was made for it. `lost` is how the
    last one before that ended.
    """

    body: bytes
    latency: timedelta
    tls_expires_at: datetime | None = None
    is_new: bool = False
    lost: Lost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One request, as it is sent a second time when the connection for it turns out to be stale."""

    method: str
    target: URL
    security: Security | None
    body: bytes | None
    credential: Credential | None
    max_body: int

    @property
    def shows_certificate(self) -> bool:
        """Whether the server is shown a certificate if it asks for one."""
        return self.security is not None and self.security.shows_certificate


class OllamaClient:
    """Asks servers; owns the connections to all of them. To be made inside a running event loop."""

    def __init__(
        self,
        *,
        allowed_networks: Sequence[guard.Network] = (),
        max_list: int = MAX_LIST,
        names: NameResolver | None = None,
        tls: Contexts | None = None,
        make_dialer: Callable[..., Dialer] = Dialer,
        observers: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        self.max_list = max_list
        self.contexts = tls or Contexts()
        self.dialer = make_dialer(
            names=names or NameResolver(),
            allowed_networks=allowed_networks,
        )
        self._connector = GuardedConnector(self.dialer)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": _name_of_agent(),
        }
        self._post_headers = self._headers | {"Content-Type": "application/json"}
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=NO_TIMEOUT,
            trust_env=False,
            auto_decompress=False,
            max_line_size=MAX_HEADER_LINE,
            max_field_size=MAX_HEADER_LINE,
            max_headers=MAX_HEADERS,
            trace_configs=list(observers),
        )
        # aiohttp would ask again after any reset; here only a stale connection earns a second try.
        self._session._retry_connection = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def refuses(self, server: Server) -> bool:
        """Return whether a server refuses a connection this very moment; nothing is sent, and nobody waits."""
        target = _target(server.url, "")
        if isinstance(target, Failure) or server.unreadable is not None:
            return False
        return self.dialer.refuses(target.raw_host or "", target.port or 0)

    async def get(
        self, server: Server, path: str, *, deadline: float, max_body: int = MAX_BODY, within: timedelta | None = None
    ) -> Answer | Failure:
        """Ask with GET until `deadline`, which is a time of the event loop's clock.

        With `within` on a new connection, which has to come about within that time.
        """
        return await self._ask("GET", server, path=path, body=None, deadline=deadline, max_body=max_body, within=within)

    async def post(
        self, server: Server, path: str, *, body: bytes, deadline: float, max_body: int = MAX_BODY
    ) -> Answer | Failure:
        """Ask with POST and a JSON body; only for requests that change nothing, they may be repeated."""
        return await self._ask("POST", server, path=path, body=body, deadline=deadline, max_body=max_body)

    async def _ask(
        self,
        method: str,
        server: Server,
        *,
        path: str,
        body: bytes | None,
        deadline: float,
        max_body: int,
        within: timedelta | None = None,
    ) -> Answer | Failure:
        question = self._question(method, server, path=path, body=body, max_body=max_body)
        if isinstance(question, Failure):
            return question
        host, port, security = question.target.raw_host or "", question.target.port or 0, question.security
        # Not the event loop's clock: that of uvloop stands still during a turn.
        began = time.perf_counter()
        connector.max_body.set(max_body)
        connector.security.set(security)
        try:
            async with asyncio.timeout_at(deadline):
                await self._connector.dial_ahead(host, port, within=within)
                found = await self._exchange_fresh(question)
                is_new = self._connector.take_stage() is not None
        except TimeoutError:
            return self._connector.explain_deadline(self._connector.take_stage(), host)
        except Exception as error:
            return failure.of_exchange(error, shown=question.shows_certificate)
        finally:
            self._connector.end_request()
        if isinstance(found, bytes):
            latency = timedelta(seconds=time.perf_counter() - began)
            lost = self._connector.emptied(host, port) if is_new else None
            expires_at = None if security is None else self.dialer.expires_at(host, port, security)
            return Answer(body=found, latency=latency, tls_expires_at=expires_at, is_new=is_new, lost=lost)
        return found

    def _question(
        self, method: str, server: Server, *, path: str, body: bytes | None, max_body: int
    ) -> _Question | Failure:
        target = _target(server.url, path)
        if isinstance(target, Failure):
            return target
        if server.unreadable is not None:
            return Failure(reason=Reason.CREDENTIAL, detail=server.unreadable.why)
        security = None
        if target.scheme == "https":
            try:
                security = self.contexts.of(server.tls, target.raw_host or "")
            except FailureError as error:
                return error.failure
        # Unreadable ones are told above.
        credential = cast(Credential | None, server.credential)
        return _Question(
            method=method, target=target, security=security, body=body, credential=credential, max_body=max_body
        )

    async def _exchange_fresh(self, question: _Question) -> bytes | Failure:
        """Ask, and again when the server turns out to have closed the idle connection used for it."""
        while True:
            try:
                return await self._exchange(question)
            except failure.DISCONNECTIONS:
                if self._connector.take_stage() is not None:
                    raise

    async def _exchange(self, question: _Question) -> bytes | Failure:
        headers = self._headers if question.body is None else self._post_headers
        if question.credential is not None:
            headers = headers | credentials.headers(question.credential)
        security = question.security
        response = await self._session.request(
            question.method,
            question.target,
            data=question.body,
            headers=headers,
            allow_redirects=False,
            ssl=True if security is None else security.context,
            server_hostname=None if security is None else security.name,
        )
        try:
            packed = await _read(response.content, question.max_body)
            encoding = response.headers.get("Content-Encoding", "").strip().lower()
            content = _unpack(packed, encoding, question.max_body)
            said = packed if isinstance(content, Failure) else content
            refused = failure.of_certificate(response.status, said, shown=question.shows_certificate)
            if refused is not None:
                return refused
            if response.status != HTTPStatus.OK:
                return refusal.explain(
                    Refusal(
                        status=response.status,
                        body=said,
                        headers=response.headers,
                        asked=str(question.target),
                        credential=question.credential,
                    )
                )
            return content
        finally:
            # Gives the connection back when the answer was read to its end, else closes it.
            response.close()


def _name_of_agent() -> str:
    try:
        return f"{DISTRIBUTION}/{metadata.version(DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        # Run from a checkout that is not installed.
        return DISTRIBUTION


async def _read(content: aiohttp.StreamReader, max_body: int) -> bytes | None:
    """Return the whole body, or None as soon as it is longer than `max_body` bytes."""
    chunk = await content.readany()
    if content.at_eof():
        return chunk if len(chunk) <= max_body else None
    chunks = [chunk]
    size = len(chunk)
    while size <= max_body:
        if content.at_eof():
            return b"".join(chunks)
        chunk = await content.readany()
        size += len(chunk)
        chunks.append(chunk)
    return None


def _unpack(packed: bytes | None, encoding: str, most: int) -> bytes | Failure:
    """Return a body as it was before a proxy packed it, at most so many bytes of it; `packed` None is too long."""
    if packed is None:
        return Failure(reason=Reason.TOO_LARGE, detail=LARGER.format(""))
    if encoding in IDENTITY or not packed:
        return packed
    if encoding not in GZIP and encoding != DEFLATE:
        why = f"The answer is encoded without being asked ({fields.clean(encoding, fields.MAX_STRING)})."
        return Failure(reason=Reason.PROTOCOL, detail=why)
    return _inflate(packed, encoding, most)


def _inflate(packed: bytes, encoding: str, most: int) -> bytes | Failure:
    # One member, as every server sends it: with many, each costs a copy of the rest.
    inflater = zlib.decompressobj(_window(packed, encoding))
    try:
        body = inflater.decompress(packed, most + 1)
    except zlib.error:
        return Failure(reason=Reason.PROTOCOL, detail=f"The answer cannot be unpacked, which says it is {encoding}.")
    if len(body) > most:
        return Failure(reason=Reason.TOO_LARGE, detail=LARGER.format(f" once it is unpacked ({encoding})"))
    if not inflater.eof:
        return Failure(reason=Reason.PROTOCOL, detail=f"The answer is packed ({encoding}), and its end is missing.")
    return body


def _window(packed: bytes, encoding: str) -> int:
    """Return what zlib wants to know; `deflate` is sent with zlib's header, as it should be, and without one."""
    if encoding in GZIP:
        return GZIP_WINDOW
    has_header = packed[0] & 0x0F == ZLIB_METHOD and int.from_bytes(packed[:2]) % ZLIB_CHECK == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


@functools.lru_cache(maxsize=MAX_TARGETS)
def _target(server_url: str, path: str) -> URL | Failure:
    """Return the address of a path of a server; the stored URL may have been edited by hand."""
    try:
        return URL(base_url.normalize(server_url) + path, encoded=True)
    except (InvalidUrlError, ValueError) as error:
        why = str(error) if isinstance(error, InvalidUrlError) else "it is not a URL."
        return FailureError(Reason.PROTOCOL, f"The stored URL cannot be used: {why}").failure
