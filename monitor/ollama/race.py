"""A TCP connection to whichever address of a host answers first, begun one after the other.

A name may have dead addresses beside living ones, most often a useless IPv6 one. When all fail, the
most telling error is raised: a refusal says more about a server than a missing route.
"""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

STAGGER_SECONDS = 0.25
UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN, errno.EINTR})
CONNECTED = frozenset({0, errno.EISCONN})
TELLING = (errno.EMFILE, errno.ENFILE, errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A literal address and a port."""

    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """Which kind of socket connects to it."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


async def connect(loop: asyncio.AbstractEventLoop, endpoints: Sequence[Endpoint]) -> socket.socket:
    """Return a connected socket; raises the most telling `OSError` when no address can be connected."""
    if len(endpoints) == 1:
        return await _connect(loop, endpoints[0])
    waiting = _alternate(endpoints)
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(loop, waiting.pop(0))))
            ended, _ = await asyncio.wait(
                attempts,
                timeout=STAGGER_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in ended:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        await _abandon(attempts)
    raise min(errors, key=_rank)


async def _connect(loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> socket.socket:
    connection = socket.socket(endpoint.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connection.setblocking(False)
        await _finish(loop, connection, (endpoint.host, endpoint.port))
    except BaseException:
        connection.close()
        raise
    return connection


def is_refused(endpoint: Endpoint) -> bool:
    """Whether a connection is refused at once, without waiting."""
    with socket.socket(endpoint.family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as connection:
        connection.setblocking(False)
        return _begin(connection, (endpoint.host, endpoint.port)) == errno.ECONNREFUSED


def _begin(connection: socket.socket, address: tuple[str, int]) -> int:
    """Begin to connect; return the number of the error that is known so far."""
    number = connection.connect_ex(address)
    # Linux says that it is under way even then when it is decided; it tells when asked a second time.
    return connection.connect_ex(address) if number in UNDER_WAY else number


async def _finish(loop: asyncio.AbstractEventLoop, connection: socket.socket, address: tuple[str, int]) -> None:
    """Connect; what is decided at once, as a refusal nearby is, costs a quarter of going through the event loop."""
    number = _begin(connection, address)
    if number in UNDER_WAY:
        await loop.sock_connect(connection, address)
    elif number not in CONNECTED:
        raise OSError(number, os.strerror(number))


async def _abandon(attempts: set[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


def _alternate(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the endpoints with the families taking turns, else in the order that the system prefers."""
    seen: Counter[socket.AddressFamily] = Counter()
    turns: list[tuple[int, Endpoint]] = []
    for endpoint in endpoints:
        turns.append((seen[endpoint.family], endpoint))
        seen[endpoint.family] += 1
    return [endpoint for _, endpoint in sorted(turns, key=lambda turn: turn[0])]


def _rank(error: OSError) -> int:
    return TELLING.index(error.errno) if error.errno in TELLING else len(TELLING)
