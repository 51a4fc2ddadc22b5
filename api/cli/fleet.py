"""What a command needs of the fleet, wherever that is: in a database at hand, or behind an API elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from api.fleet.filters import ServerFilters
from api.fleet.history import HistoryView
from api.fleet.queries.events import Extract
from api.fleet.resolution.answers import Resolution
from api.fleet.resolution.catalogue import CatalogueAnswer, CataloguePage
from api.fleet.schemas import ModelPatch, ServerCreate, ServerPatch
from api.fleet.views import (
    CheckAnswer,
    DiscoveryAnswer,
    EditedServer,
    ModelPage,
    ModelView,
    ReadinessReport,
    ServerPage,
    ServerView,
)
from monitor.domain.credential import ClientKey, Credential, Unreadable
from monitor.domain.selection import Request
from monitor.domain.uptime import Window


class FleetRegistry(Protocol):
    """The use cases of `api.fleet.registry.Registry` that commands ask for, as they are told of there.

    What cannot be done raises a `Refused`. `credential` and `client_key` are None also where they cannot be had from
    here.
    """

    async def list_servers(
        self, filters: ServerFilters = ..., *, limit: int = 100, cursor: str | None = None
    ) -> ServerPage: ...

    async def find_server(self, reference: str) -> ServerView: ...

    async def create_server(self, new: ServerCreate) -> ServerView: ...

    async def patch_server(self, server_id: UUID, patch: ServerPatch) -> EditedServer: ...

    async def credential(self, server_id: UUID, url: str, /) -> Credential | Unreadable | None: ...

    async def client_key(self, server_id: UUID, /) -> ClientKey | Unreadable | None: ...

    async def delete_server(self, server_id: UUID) -> None: ...

    async def list_models(self, server_id: UUID, *, include_removed: bool = False) -> ModelPage: ...

    async def all_models(self, *, include_removed: bool = False) -> ModelPage: ...

    async def patch_model(self, server_id: UUID, model_name: str, patch: ModelPatch) -> ModelView: ...

    async def request_check(self, server_id: UUID) -> CheckAnswer: ...

    async def request_discovery(self, server_id: UUID) -> DiscoveryAnswer: ...

    async def history(self, server_id: UUID, *, window: Window) -> HistoryView: ...

    async def readiness(self) -> ReadinessReport: ...


class FleetResolver(Protocol):
    """Which server to take, and which model is where; what cannot be done raises a `Refused`."""

    async def resolve(self, request: Request, *, session: str | None = None, with_headers: bool = False) -> Resolution:
        """Return the server for a request; the same session keeps to one of equal servers."""
        ...

    async def models(self, *, limit: int, cursor: str | None) -> CataloguePage:
        """Return some models by name."""
        ...

    async def model(self, model_name: str) -> CatalogueAnswer:
        """Return one model with all its servers."""
        ...


class Waker(Protocol):
    """Tells that the event log may have grown."""

    async def run(self) -> None:
        """Listen until cancelled."""
        ...

    async def wait(self, cursor: int) -> None:
        """Return when there may be an event above the cursor; now and then without one."""
        ...


class EventLog(Protocol):
    """The log of what has happened."""

    async def read(self, after: int | None, *, limit: int, types: Sequence[str], server_id: UUID | None) -> Extract:
        """Return at most `limit` events after a number, None for the oldest one held."""
        ...

    def waker(self) -> Waker:
        """Return what wakes a reader that has read all there is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One fleet, for as long as a command runs."""

    registry: FleetRegistry
    resolver: FleetResolver
    events: EventLog
