"""The headers that a program has to send to a server, with its credential in the clear, for those who may have them.

A credential that was asked for once is kept in memory until the server changes or goes, so that it can be told while
the database is away, too: then no change can be.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

from api.fleet.refusals import Refused
from monitor.domain import credential as credentials
from monitor.domain.credential import AuthType, Credential, Unreadable
from monitor.domain.entry import Entry

Read = Callable[[UUID, str], Awaitable[Credential | Unreadable | None]]


@dataclass(frozen=True, slots=True)
class _Kept:
    revision: int
    credential: Credential


class OutgoingHeaders:
    """Tells headers; `read` gets a server's credential from the database, if it is for the URL."""

    def __init__(self, read: Read) -> None:
        self._read = read
        # An entry that the fleet in memory drops takes the secret along.
        self._kept: WeakKeyDictionary[Entry, _Kept] = WeakKeyDictionary()

    async def of(self, server: Entry | None) -> dict[str, str]:
        """Return the headers for a server, none for a dynamic one; a `Refused` if its credential cannot be opened."""
        if server is None or server.auth_type == AuthType.NONE:
            return {}
        kept = self._kept.get(server)
        if kept is not None and kept.revision == server.revision:
            return credentials.headers(kept.credential)
        revision = server.revision
        credential = await self._read(server.id, server.base_url)
        if isinstance(credential, Unreadable):
            raise _unreadable(server, credential)
        if credential is None:
            return {}
        self._kept[server] = _Kept(revision, credential)
        return credentials.headers(credential)


def _unreadable(server: Entry, credential: Unreadable) -> Refused:
    return Refused(
        "credential_unreadable",
        f"The credential of {server.name!r} cannot be told: {credential.why} Restore the key, or store it anew.",
        server_id=str(server.id),
    )
