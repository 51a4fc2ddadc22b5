"""Host names looked up by the system's resolver, in threads, so that names that hang delay nobody.

Each look-up has a daemon thread of its own, up to a bound: a look-up cannot be cancelled, and a pool's
threads would hold up the end of the process. A name is looked up once at a time, however many ask.
Every connection follows a name that moved: it is looked up anew each time. What it was found as last is remembered
only for when the name server is away, or takes longer than a second: then a server is where it was.
"""

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from monitor.domain.probe import Reason
from monitor.ollama.failure import OWN_FAULTS, FailureError

Lookup = Callable[[str], list[str]]

MAX_LOOKUPS = 128
MAX_ADDRESSES = 16
MOST_REMEMBERED = 65_536
# How long to wait for a name whose addresses are remembered.
PATIENCE_SECONDS = 1.0


def system_lookup(host: str) -> list[str]:
    """Return the addresses of a name as the system's resolver sees them; blocks."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))[:MAX_ADDRESSES]


class NameServerAwayError(FailureError):
    """Nothing is known of the name, since nobody can be asked."""


class NameResolver:
    """Looks names up; at most `max_lookups` at once, further ones wait for their turn."""

    def __init__(self, lookup: Lookup = system_lookup, *, max_lookups: int = MAX_LOOKUPS) -> None:
        self._lookup = lookup
        self._slots = asyncio.Semaphore(max_lookups)
        self._running: dict[str, asyncio.Future[list[str]]] = {}
        self._remembered: dict[str, list[str]] = {}
        # When a look-up last succeeded, by the name server and not by what is remembered; monotonic seconds.
        self.looked_up_at = float("-inf")

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of a name; raises `FailureError` with `dns` or `local`."""
        remembered = self._remembered.get(host)
        if remembered is None:
            return await self._look_up(host)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._look_up(host)
        except (TimeoutError, NameServerAwayError):
            return remembered

    async def _look_up(self, host: str) -> list[str]:
        answer = self._running.get(host)
        if answer is None:
            await self._slots.acquire()
            # Another caller may have begun with the same name while this one waited for its turn.
            answer = self._running.get(host)
            if answer is None:
                answer = self._start(host)
            else:
                self._slots.release()
        try:
            # A caller that gives up must not take the answer away from the others.
            return await asyncio.shield(answer)
        except (OSError, UnicodeError) as error:
            raise _explain(error) from error

    def _remember(self, host: str, found: list[str]) -> None:
        # This machine's own name is known without a name server.
        if not all(ipaddress.ip_address(address).is_loopback for address in found):
            self.looked_up_at = time.monotonic()
        if found:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[host] = found

    def is_running(self, host: str) -> bool:
        """Return whether the look-up of a name has begun and not ended."""
        return host in self._running

    def _start(self, host: str) -> asyncio.Future[list[str]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()
        # Marks the outcome as seen, for when every caller has given up by then.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._running[host] = answer

        def finish(addresses: list[str], error: Exception | None) -> None:
            del self._running[host]
            self._slots.release()
            if error is None:
                # Also where it took too long for whoever asked.
                self._remember(host, addresses)
                answer.set_result(addresses)
            else:
                answer.set_exception(error)

        def run() -> None:
            addresses: list[str] = []
            failed: Exception | None = None
            try:
                addresses = self._lookup(host)
            except Exception as error:
                failed = error
            # The loop may have ended meanwhile; then nobody waits for the answer.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, addresses, failed)

        try:
            threading.Thread(target=run, name="name-lookup", daemon=True).start()
        except RuntimeError:
            finish([], OSError(errno.ENOMEM, "no thread"))
        return answer


def _explain(error: OSError | UnicodeError) -> FailureError:
    own = _own_fault(error)
    if own is not None:
        return FailureError(Reason.LOCAL, own)
    number = error.errno if isinstance(error, socket.gaierror) else None
    if number == socket.EAI_AGAIN:
        return NameServerAwayError(Reason.DNS, "The name server does not answer, or not now.")
    if number == socket.EAI_NONAME:
        return FailureError(Reason.DNS, "The name is not known.")
    return FailureError(Reason.DNS, "The name could not be looked up.")


def _own_fault(error: OSError | UnicodeError) -> str | None:
    if isinstance(error, UnicodeError):
        return None
    if not isinstance(error, socket.gaierror):
        return OWN_FAULTS.get(error.errno or 0)
    if error.errno == socket.EAI_MEMORY:
        return "This machine has no memory left to look a name up."
    try:
        # The resolver hides it when it could not open a file or a socket, so that is tried here.
        socket.socket().close()
    except OSError as own:
        return OWN_FAULTS.get(own.errno or 0, "No socket can be opened.")
    return None
