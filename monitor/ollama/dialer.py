"""How a connection to a server comes about: resolve, guard, connect, TLS, each step known by name.

Probes and the connection watch both dial here, so that what is watched is what is probed.
"""

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, TypeVar

from monitor.domain.probe import Reason
from monitor.ollama import failure, guard, handshake, race
from monitor.ollama.failure import Failure, FailureError
from monitor.ollama.names import NameResolver
from monitor.ollama.race import Endpoint
from monitor.ollama.tls import Security

MOST_HOSTS = 65_536
# Each takes a descriptor for as long; that of the connection watch has just become free.
KNOCKS = 3

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Stage(Enum):
    """How far a new connection has come."""

    RESOLVING = auto()
    CONNECTING = auto()
    HANDSHAKING = auto()
    CONNECTED = auto()


class Dialer:
    """Makes connections, only to addresses that the guard allows."""

    def __init__(
        self,
        *,
        names: NameResolver,
        allowed_networks: Sequence[guard.Network],
    ) -> None:
        self._names = names
        self._allowed_networks = tuple(allowed_networks)
        # Hosts that turned out to be this very machine, by a name or an address that does not show it.
        self._own: set[str] = set()
        # When the certificates end that were seen last, by place and name.
        self._expiries: OrderedDict[tuple[str, int, str], datetime] = OrderedDict()
        # The same addresses are dialed all day.
        self._refusal = functools.lru_cache(MOST_HOSTS)(self._look_at_address)

    @property
    def looked_up_at(self) -> float:
        """When a name was last looked up with success; monotonic seconds."""
        return self._names.looked_up_at

    def is_here(self, host: str) -> bool:
        """Return whether a host is this very machine: an answer from it proves nothing about the network."""
        return host in self._own or _is_loopback(host) or _is_own_address(host)

    def is_resolving(self, host: str) -> bool:
        """Return whether the look-up of a name has begun and not ended."""
        return self._names.is_running(host)

    async def dial(
        self,
        host: str,
        port: int,
        *,
        security: Security | None,
        factory: Callable[[], P],
        reached: Callable[[Stage], None],
        connection: socket.socket | None = None,
    ) -> P:
        """Connect and return the connection's protocol; raises `FailureError` with the reason.

        With `security` by TLS. `reached` is told of each stage as it begins; `connection` is one from `reach`.
        """
        if connection is None:
            connection = await self.reach(host, port, reached)
        else:
            reached(Stage.CONNECTING)
        if security is not None:
            reached(Stage.HANDSHAKING)
            transport, protocol = await self._shake_hands(connection, security, factory)
            self._note_expiry((host, port, security.name), transport.get_extra_info("peercert"))
        else:
            _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=connection)
        reached(Stage.CONNECTED)
        return protocol

    def refuses(self, host: str, port: int) -> bool:
        """Return whether an address refuses a connection this very moment; what takes longer is no refusal."""
        literal = _literal(host)
        if literal is None or self._refusal(literal) is not None:
            return False
        return race.is_refused(Endpoint(literal, port))

    def expires_at(self, host: str, port: int, security: Security) -> datetime | None:
        """Return when the certificate ends that was seen last there; None when there was none."""
        return self._expiries.get((host, port, security.name))

    def _note_expiry(self, where: tuple[str, int, str], certificate: dict[str, Any] | None) -> None:
        if certificate and "notAfter" in certificate:
            self._expiries[where] = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
            self._expiries.move_to_end(where)
            if len(self._expiries) > MOST_HOSTS:
                self._expiries.popitem(last=False)

    async def dial_idle(self, host: str, port: int, *, security: Security | None, factory: Callable[[], P]) -> P:
        """Connect like `dial`, to hold the connection and never use it; raises `FailureError` with the reason.

        A server behind TLS has to prove itself, but the protocol gets the bare TCP connection, on which what
        the server still sends arrives as ciphertext.
        """
        connection = await self.reach(host, port, lambda _stage: None)
        try:
            if security is not None:
                with _trouble_with_tls(security):
                    await handshake.prove(connection, tls=security.context, host=security.name)
        except BaseException:
            connection.close()
            raise
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=connection)
        return protocol

    async def reach(
        self, host: str, port: int, reached: Callable[[Stage], None], *, within: timedelta | None = None
    ) -> socket.socket:
        """Return a connection that nothing was said on yet; raises `FailureError` with the reason.

        With `within` it is tried for that long only, once a name is looked up, and several times over.
        """
        reached(Stage.RESOLVING)
        endpoints = self._admit(await self._look_up(host), port)
        reached(Stage.CONNECTING)
        connection = await (self._connect(endpoints) if within is None else self._knock(endpoints, within))
        self._note(host, connection)
        return connection

    def _note(self, host: str, connection: socket.socket) -> None:
        """Note whether a connection leads back to this machine: it then has one address at both ends."""
        try:
            address, own = connection.getpeername()[0], connection.getsockname()[0]
        except OSError:
            # Reset already; whoever asks on it will hear of that.
            return
        if address == own or _is_loopback(address):
            if len(self._own) < MOST_HOSTS:
                self._own.add(host)
        else:
            self._own.discard(host)

    async def _look_up(self, host: str) -> list[str]:
        """Return the addresses of a host: looked up once for each connection, a literal one is its own."""
        literal = _literal(host)
        if literal is not None:
            return [literal]
        return await self._names.resolve(host)

    def _admit(self, found: Sequence[str], port: int) -> list[Endpoint]:
        """Return the very addresses to connect to: those that the guard lets pass, also of literal ones."""
        refused: str | None = None
        endpoints: list[Endpoint] = []
        for address in found:
            why = self._refusal(address)
            if why is None:
                endpoints.append(Endpoint(address, port))
            refused = refused or why
        if endpoints:
            return endpoints
        if refused is None:
            raise FailureError(Reason.DNS, "The name has no address.")
        raise FailureError(Reason.BLOCKED, f"The server is at {refused}.")

    def _look_at_address(self, address: str) -> str | None:
        return guard.check(ipaddress.ip_address(address), self._allowed_networks)

    async def _connect(self, endpoints: Sequence[Endpoint]) -> socket.socket:
        try:
            return await race.connect(asyncio.get_running_loop(), endpoints)
        except OSError as error:
            raise _wrap(failure.of_connecting(error)) from error

    async def _knock(self, endpoints: Sequence[Endpoint], within: timedelta) -> socket.socket:
        """Connect soon or never: with so little time, a packet that is lost is not waited for to be sent again."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._connect([*endpoints] * KNOCKS)
        except TimeoutError as error:
            raise FailureError(Reason.CONNECT_TIMEOUT, "No connection in time.") from error

    async def _shake_hands(
        self, connection: socket.socket, security: Security, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        loop = asyncio.get_running_loop()
        with _trouble_with_tls(security):
            return await loop.create_connection(
                factory, sock=connection, ssl=security.context, server_hostname=security.name
            )


@functools.lru_cache(MOST_HOSTS)
def _literal(host: str) -> str | None:
    """Return the one spelling of a host that is an address, None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


@functools.lru_cache(MOST_HOSTS)
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@functools.lru_cache(MOST_HOSTS)
def _is_own_address(host: str) -> bool:
    """Whether a host is an address of this machine: the way to one begins at itself. Nothing is sent."""
    literal = _literal(host)
    if literal is None:
        return False
    family = socket.AF_INET6 if ":" in literal else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as way:
        try:
            way.connect((literal, 9))
        except OSError:
            return False
        return bool(way.getsockname()[0] == literal)


@contextmanager
def _trouble_with_tls(security: Security) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise _wrap(failure.of_tls(error, shown=security.shows_certificate)) from error
    except OSError as error:
        raise FailureError(
            Reason.RESET, "The connection was closed or reset in the middle of the TLS handshake."
        ) from error


def _wrap(found: Failure) -> FailureError:
    return FailureError(found.reason, found.detail)
