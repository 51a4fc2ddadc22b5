"""The fleet behind an API elsewhere: its registry, its resolver and its event log over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ValidationError

from api.cli import listing
from api.cli.api_connection import ApiConnection
from api.cli.fleet import Fleet
from api.fleet import credentials as authentication
from api.fleet import edits
from api.fleet.filters import NO_FILTERS, Extra, ServerFilters
from api.fleet.history import HistoryView
from api.fleet.queries.events import Extract
from api.fleet.refusals import Refused
from api.fleet.resolution.answers import Resolution, ResolutionView
from api.fleet.resolution.catalogue import CatalogueAnswer, CatalogueAnswerView, CataloguePage, CataloguePageView
from api.fleet.schemas import ModelPatch, ServerCreate, ServerPatch
from api.fleet.views import (
    CheckAnswer,
    DiscoveryAnswer,
    EditedServer,
    EventPage,
    ModelPage,
    ModelView,
    ReadinessReport,
    ServerPage,
    ServerView,
)
from monitor.domain.errors import FleetError
from monitor.domain.event import Event, EventType
from monitor.domain.selection import Request
from monitor.domain.uptime import Window

SERVERS, RESOLVE, MODELS, EVENTS = "/api/servers", "/api/resolve", "/api/models", "/api/events"
MERGE_PATCH = "application/merge-patch+json"
READ_AT_ONCE = 8
EVENTS_AT_ONCE = 1000
WAIT_SECONDS = 30
PAUSE_SECONDS = 2.0


class RemoteRegistry:
    """Implements `fleet.FleetRegistry` over HTTP."""

    def __init__(self, connection: ApiConnection) -> None:
        self._api = connection

    async def list_servers(
        self, filters: ServerFilters = NO_FILTERS, *, limit: int = 100, cursor: str | None = None
    ) -> ServerPage:
        """Return some servers by name."""
        parameters = [*_parameters(filters), ("limit", str(limit)), *([("cursor", cursor)] if cursor else [])]
        return self._api.read(ServerPage, await self._api.ask("GET", SERVERS, parameters=parameters))

    async def find_server(self, reference: str) -> ServerView:
        """Return the server with this name, id or URL, looked for in this order."""
        for filters in _ways_to_mean(reference):
            page = await self.list_servers(filters, limit=1)
            if page.items:
                return page.items[0]
        raise edits.server_not_found(reference)

    async def create_server(self, new: ServerCreate) -> ServerView:
        """Add a server."""
        answer = await self._api.ask("POST", SERVERS, body=_given(new))
        return self._api.read(EditedServer if isinstance(answer, dict) and "notices" in answer else ServerView, answer)

    async def patch_server(self, server_id: UUID, patch: ServerPatch) -> EditedServer:
        """Change the fields that are given."""
        return self._api.read(EditedServer, await self._patch(f"{SERVERS}/{server_id}", patch))

    async def credential(self, _server_id: UUID, _url: str) -> None:
        """Return None, whatever the server has: an API does not give credentials away."""

    async def client_key(self, _server_id: UUID) -> None:
        """Return None, whatever the server has: an API does not give keys away."""

    async def delete_server(self, server_id: UUID) -> None:
        """Delete a server and its models."""
        await self._api.ask("DELETE", f"{SERVERS}/{server_id}")

    async def list_models(self, server_id: UUID, *, include_removed: bool = False) -> ModelPage:
        """Return the models of a server."""
        parameters = [("include_removed", _switch(include_removed))]
        answer = await self._api.ask("GET", f"{SERVERS}/{server_id}/models", parameters=parameters)
        return self._api.read(ModelPage, answer)

    async def all_models(self, *, include_removed: bool = False) -> ModelPage:
        """Return the models of all servers, by model name and then server name; asks for a few servers at once."""
        turns = asyncio.Semaphore(READ_AT_ONCE)

        async def read(server: ServerView) -> list[ModelView]:
            async with turns:
                try:
                    return (await self.list_models(server.id, include_removed=include_removed)).items
                except Refused as problem:
                    if problem.code == "server_not_found":
                        # Removed since it was listed.
                        return []
                    raise

        # Not a task group: the command is to hear of the first failure itself, not of a group of them.
        found = await asyncio.gather(*map(read, await listing.all_servers(self)))
        models = [model for each in found for model in each]
        return ModelPage(items=sorted(models, key=lambda model: (model.model_name, model.server_name)))

    async def patch_model(self, server_id: UUID, model_name: str, patch: ModelPatch) -> ModelView:
        """Note what the operator says of a model."""
        path = f"{SERVERS}/{server_id}/models/{quote(model_name, safe='')}"
        return self._api.read(ModelView, await self._patch(path, patch))

    async def request_check(self, server_id: UUID) -> CheckAnswer:
        """Have the monitor check a server now."""
        return self._api.read(CheckAnswer, await self._api.ask("POST", f"{SERVERS}/{server_id}/check"))

    async def request_discovery(self, server_id: UUID) -> DiscoveryAnswer:
        """Have the monitor list a server's models now."""
        return self._api.read(DiscoveryAnswer, await self._api.ask("POST", f"{SERVERS}/{server_id}/discover"))

    async def history(self, server_id: UUID, *, window: Window) -> HistoryView:
        """Return what a server was like."""
        answer = await self._api.ask("GET", f"{SERVERS}/{server_id}/history", parameters=[("window", window.value)])
        return self._api.read(HistoryView, answer)

    async def readiness(self) -> ReadinessReport:
        """Return whether database, schema and monitor are well; an API that is not ready says so, too."""
        reply = await self._api.exchange("GET", "/readyz")
        if reply.status not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
            raise FleetError(f"The API does not tell whether it is ready: it answered {reply.status}.")
        return self._api.read(ReadinessReport, reply.document)

    async def _patch(self, path: str, patch: BaseModel) -> Any:
        return await self._api.ask("PATCH", path, body=_given(patch), media_type=MERGE_PATCH)


def _given(shape: BaseModel) -> dict[str, Any]:
    return shape.model_dump(mode="json", exclude_unset=True, context=authentication.REVEALING)


def _parameters(filters: ServerFilters) -> Iterator[tuple[str, str]]:
    for name, value in filters:
        values = value if isinstance(value, list) else [value]
        for one in values:
            match one:
                case None:
                    continue
                case bool():
                    yield name, _switch(one)
                case (key, text):
                    yield name, f"{key}={text}"
                case _:
                    yield name, str(one)


def _ways_to_mean(reference: str) -> Iterator[ServerFilters]:
    for field in ("name", "id", "url"):
        # What cannot be a name, an id or a URL means no server in that way.
        with contextlib.suppress(ValidationError):
            yield ServerFilters.model_validate({field: reference})


def _switch(value: bool) -> str:
    return "true" if value else "false"


class RemoteResolver:
    """Implements `fleet.FleetResolver` over HTTP."""

    def __init__(self, connection: ApiConnection) -> None:
        self._api = connection

    async def resolve(self, request: Request, *, session: str | None = None, with_headers: bool = False) -> Resolution:
        """Return the server for a request, and the headers that it wants."""
        body = request._asdict()
        body["label"] = [f"{key}={value}" for key, value in body.pop("labels")]
        body["capability"] = body.pop("capabilities")
        body |= {"session": session, "include": [Extra.CREDENTIALS] if with_headers else []}
        answer = await self._api.ask("POST", RESOLVE, body=body)
        return self._api.read(ResolutionView, answer).root

    async def models(self, *, limit: int, cursor: str | None) -> CataloguePage:
        """Return some models by name."""
        parameters = [("limit", str(limit)), *([("cursor", cursor)] if cursor else [])]
        return self._api.read(CataloguePageView, await self._api.ask("GET", MODELS, parameters=parameters)).root

    async def model(self, model_name: str) -> CatalogueAnswer:
        """Return one model with all its servers."""
        answer = await self._api.ask("GET", f"{MODELS}/{quote(model_name, safe='')}")
        return self._api.read(CatalogueAnswerView, answer).root


class RemoteEventLog:
    """Implements `fleet.EventLog` and `fleet.Waker` over HTTP."""

    def __init__(self, connection: ApiConnection) -> None:
        self._api = connection

    async def read(self, after: int | None, *, limit: int, types: Sequence[str], server_id: UUID | None) -> Extract:
        """Return at most `limit` events after a number, and how far the log reaches even if not to there."""
        wanted = [*(("type", one) for one in types), *([] if server_id is None else [("server_id", str(server_id))])]
        try:
            page = await self._page(after, limit=min(limit, EVENTS_AT_ONCE), wanted=wanted)
        except Refused as problem:
            if after is None or "head" not in problem.facts:
                raise
            first, last = problem.facts.get("first_seq", 1), problem.facts["head"]
            if not isinstance(first, int) or not isinstance(last, int):
                raise
            return Extract(after=after, events=[], first=first, last=last)
        start = page.first_seq - 1 if after is None else after
        found = self._events(page)
        while len(page.items) == EVENTS_AT_ONCE and len(found) < limit:
            page = await self._page(page.last_seq, limit=min(limit - len(found), EVENTS_AT_ONCE), wanted=wanted)
            found += self._events(page)
        return Extract(after=start, events=found, first=page.first_seq, last=page.head)

    def waker(self) -> Self:
        """Return the log itself, which waits by a long poll."""
        return self

    async def run(self) -> None:
        """Do nothing until cancelled: each wait asks by itself."""
        await asyncio.get_running_loop().create_future()

    async def wait(self, cursor: int) -> None:
        """Return when there is an event above the cursor, or after half a minute."""
        with contextlib.suppress(FleetError):
            await self._page(cursor, limit=1, wanted=(), wait=WAIT_SECONDS)
            return
        # Whoever reads next hears what is the matter; here only nobody is to be asked without a pause.
        await asyncio.sleep(PAUSE_SECONDS)

    async def _page(
        self, after: int | None, *, limit: int, wanted: Sequence[tuple[str, str]], wait: int = 0
    ) -> EventPage:
        parameters = [("limit", str(limit)), ("wait", str(wait)), *wanted]
        if after is not None:
            parameters.append(("after", str(after)))
        return self._api.read(EventPage, await self._api.ask("GET", EVENTS, parameters=parameters))

    def _events(self, page: EventPage) -> list[Event]:
        try:
            return [Event(**{**dict(view), "type": EventType(view.type)}) for view in page.items]
        except ValueError as error:
            raise self._api.of_another_version() from error


@asynccontextmanager
async def opened(api_url: str, *, token: str | None) -> AsyncIterator[Fleet]:
    """Open the fleet behind an API for as long as the block runs."""
    async with ApiConnection(api_url, token=token) as connection:
        yield Fleet(
            registry=RemoteRegistry(connection),
            resolver=RemoteResolver(connection),
            events=RemoteEventLog(connection),
        )
