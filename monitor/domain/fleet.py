"""The fleet in memory: what the monitor believes about each active server, and what it still owes it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitor.domain import suspicion
from monitor.domain.availability import Availability, Status
from monitor.domain.noise import NEW_VERSIONS, SHOWS, Allowance, Noise
from monitor.domain.probe import Lost
from monitor.domain.record import ServerRecord
from monitor.domain.server import Server, ServerId
from monitor.domain.suspicion import Suspicion


@dataclass(slots=True, kw_only=True)
class Watched:
    """One server being watched.

    `check_requested_at` and `discovery_requested_at` are requests that have no answer yet.
    `known_list` is the fingerprint of the last listing that is on record, None when the record has
    to be read again; `missing` are the models that listing lacked although they are on record.
    `known_residency` is the fingerprint of what is on record as in memory, None if that has to be read again, and
    `resident` of which models were there at the last look, and with how much of them, None before the first one.
    `list_due_at` is when the next listing is due, in monotonic seconds.
    `watch_ended_at` is when the connection to it ended that was held, until a check has said what that meant,
    and `due_at` when its next check is due; both in monotonic seconds. `vanished` is whether that connection ended
    because the host fell silent, until the host answers again. `connected_at` is when the check began that last had a
    good answer on a new connection, and `lost` how the connection before that one had ended. `shows` and
    `new_versions` are how often it may be asked for a model's particulars, and listed ahead of time.
    """

    server: Server
    availability: Availability
    suspicion: Suspicion = suspicion.NONE
    watch_ended_at: float | None = None
    due_at: float = float("inf")
    vanished: bool = False
    connected_at: float = float("-inf")
    lost: Lost | None = None
    server_version: str | None = None
    check_requested_at: datetime | None = None
    discovery_requested_at: datetime | None = None
    known_list: int | None = None
    known_residency: int | None = None
    resident: int | None = None
    list_due_at: float = float("-inf")
    missing: frozenset[str] = field(default_factory=frozenset)
    list_noise: Noise = field(default_factory=Noise)
    memory_noise: Noise = field(default_factory=Noise)
    shows: Allowance = SHOWS
    new_versions: Allowance = NEW_VERSIONS

    def record(self, **more: Any) -> ServerRecord:
        """Return what is believed of the server, to be written; `more` are further fields of the record."""
        return ServerRecord(
            server_id=self.server.id,
            row_version=self.server.row_version,
            status=self.availability.status,
            reason=self.availability.reason,
            detail=self.availability.detail,
            **more,
        )

    def verdict_after(self, before: Status) -> dict[str, str | None]:
        """Return what a log line says of a change of status."""
        reason = self.availability.reason
        return {
            "status": self.availability.status.value,
            "server": self.server.name,
            "server_id": str(self.server.id),
            "before": before.value,
            "reason": None if reason is None else reason.value,
            "detail": self.availability.detail,
        }


class Fleet:
    """Servers by id. An entry is replaced, never reused, when its server is edited: whoever holds an
    entry that is no longer `current` holds a result that nobody wants."""

    def __init__(self) -> None:
        self._servers: dict[ServerId, Watched] = {}

    def __len__(self) -> int:
        return len(self._servers)

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._servers.values()))

    def get(self, server_id: ServerId) -> Watched | None:
        """Return the server's entry, None when it is not watched."""
        return self._servers.get(server_id)

    def is_current(self, watched: Watched) -> bool:
        """Whether this entry still is the one that counts."""
        return self._servers.get(watched.server.id) is watched

    def put(self, watched: Watched) -> None:
        """Watch a server, or replace what is known of it."""
        self._servers[watched.server.id] = watched

    def remove(self, server_id: ServerId) -> None:
        """Stop watching a server."""
        self._servers.pop(server_id, None)
