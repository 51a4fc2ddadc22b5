"""What the services need from the world, as small protocols split by need."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from monitor.domain.availability import Availability
from monitor.domain.event import Announcement, Event
from monitor.domain.fleet import Watched
from monitor.domain.history import Page
from monitor.domain.inventory import Difference, KnownModel, ModelId
from monitor.domain.lease import Lease
from monitor.domain.probe import Listing, LoadedModel, ProbeResult, Residency, ShownModel
from monitor.domain.record import ServerRecord, Written
from monitor.domain.server import Server, ServerId
from monitor.domain.watching import Ending


class Prober(Protocol):
    """Asks a server whether it is alive; a sick server is an answer, never an exception."""

    async def probe(self, server: Server, /, *, connect_within: timedelta | None = None) -> ProbeResult:
        """Ask once, within `server.policy.timeout`; with `connect_within` on a new connection, made within that."""
        ...


class Lister(Protocol):
    """Asks a server what it has; a sick server is an answer, never an exception."""

    async def list_models(self, server: Server, /) -> Listing:
        """List what the server has on disk."""
        ...

    async def list_loaded(self, server: Server, /) -> Residency:
        """List what the server has in memory."""
        ...

    async def show(self, server: Server, model_name: str, /) -> ShownModel:
        """Ask for the capabilities of one model; never loads it."""
        ...


class Hold(Protocol):
    """An idle connection to a server."""

    @property
    def is_open(self) -> bool:
        """Whether it is still held."""
        ...

    def close(self) -> None:
        """Let go of it; whoever asked for it is not told."""
        ...


class Holder(Protocol):
    """Holds idle connections to servers; one that cannot be had is an answer, never an exception."""

    async def hold(self, server: Server, ended: Callable[[Ending], None], /) -> Hold | None:
        """Connect within `server.policy.timeout`; `ended` is called once, when the connection ends by itself."""
        ...


class LeaseStore(Protocol):
    """The right to check the fleet, kept in the database."""

    async def take(self, ttl: timedelta, /) -> Lease | None:
        """Take the lease if it is free; None if somebody holds it."""
        ...

    async def renew(self, lease: Lease, ttl: timedelta, /) -> bool:
        """Prolong the lease; False when somebody else has it now."""
        ...

    async def give_up(self, lease: Lease, /) -> None:
        """Free the lease at once."""
        ...


class ServerStore(Protocol):
    """The servers to watch, and what changes about them."""

    async def snapshot(self) -> tuple[list[Watched], int]:
        """Return all active servers, and the event number at which that is true."""
        ...

    async def read(self, server_ids: Sequence[ServerId], /) -> list[Watched]:
        """Return those of the given servers that are there and active."""
        ...

    async def changes_after(self, seq: int, /, *, limit: int) -> tuple[list[Event], list[ServerId]]:
        """Return the events after a number, and the servers to read again: those with an unanswered request."""
        ...


class ResultStore(Protocol):
    """Where the newest state of servers is kept; made for one lease, without which nothing is wanted any more."""

    async def write(self, records: Sequence[ServerRecord], /) -> Written:
        """Write all records at once, but for those of servers that somebody else is changing."""
        ...


class InventoryStore(Protocol):
    """Where the models of servers are kept; made for one lease, without which nothing is written any more."""

    async def known(self, server_id: ServerId, /) -> list[KnownModel]:
        """Return the models on record, tombstones too."""
        ...

    async def write(
        self,
        server: Server,
        difference: Difference,
        /,
        *,
        listed: bool,
        answered_at: datetime | None = None,
        answer: dict[str, Any] | None = None,
    ) -> bool:
        """Write a difference and the answer to a request; False when it is not wanted any more."""
        ...

    async def write_loaded(self, server: Server, changes: Mapping[ModelId, LoadedModel | None], /) -> bool:
        """Write which models are in memory; False when it is not wanted any more."""
        ...

    async def forget_loaded(self, server: Server, /) -> bool:
        """Write that no model is in memory; False when it is not wanted any more."""
        ...


class Recorder(Protocol):
    """Takes the newest state of a server and sees to it that it is written."""

    def record(self, record: ServerRecord, /, *, at_once: bool) -> None:
        """Take a record; `at_once` for a transition, else it may wait a second for company."""
        ...


class AnnouncementStore(Protocol):
    """Where the monitor says how it is doing itself; made for one lease, without which nothing is said any more."""

    async def announce(self, announcement: Announcement, /) -> bool:
        """Write an event about the monitor; False when the lease is not ours any more."""
        ...

    async def close_open(self) -> None:
        """Write that an isolation is over if one is on record that is not."""
        ...


class Doubt(Protocol):
    """Asks whether a failure may be the monitor's own."""

    def own_fault(self, result: ProbeResult, /, *, began: float, at: float, timeout: timedelta) -> ProbeResult:
        """Return the result, as `local` where what it says may well be our own doing; monotonic seconds."""
        ...

    def weigh(
        self, watched: Watched, result: ProbeResult, after: Availability, /, *, began: float, at: float
    ) -> Availability:
        """Return what is to be believed of a server, given what a probe from `began` to `at` alone makes of it."""
        ...


class HistoryStore(Protocol):
    """Where the history of servers is kept; made for one lease, without which nothing is written any more."""

    async def clock(self) -> float:
        """Return the time that history counts by, in seconds since 1970."""
        ...

    async def write(self, pages: Sequence[Page], /) -> float:
        """Write pages of five minutes; return the time."""
        ...

    async def roll_up(self, span: int, /, *, before: int, after: ServerId | None, limit: int) -> list[ServerId]:
        """Make pages of `span` of the finer ones that begin before a time, of at most `limit` servers after one;
        return whose there were, in order."""
        ...

    async def delete_older(self, age: timedelta, /) -> None:
        """Delete days beyond an age."""
        ...


class EventLog(Protocol):
    """The log of events, as far as it has to be kept bounded."""

    async def delete_older(self, age: timedelta, /, *, limit: int) -> int:
        """Delete at most `limit` of the oldest events beyond an age; return how many went."""
        ...

    async def delete_beyond(self, most_bytes: int, /, *, limit: int) -> int:
        """Delete at most `limit` of the oldest events beyond a size of the whole log; return how many went."""
        ...
