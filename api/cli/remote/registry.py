"""The registry behind an API elsewhere, with the same use cases as the one in a database at hand."""

import asyncio
import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ValidationError

from api.cli import listing
from api.cli.remote.connection import ApiConnection
from api.fleet import credentials as authentication
from api.fleet import edits
from api.fleet.filters import NO_FILTERS, ServerFilters
from api.fleet.history.views import HistoryView
from api.fleet.refusals import Refused
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
from monitor.domain.errors import FleetError
from monitor.domain.uptime import Window

SERVERS = "/api/servers"
MERGE_PATCH = "application/merge-patch+json"
READ_AT_ONCE = 8


class RemoteRegistry:
    """Implements `reach.FleetRegistry` over HTTP."""

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
        return self._api.read(ServerView, await self._api.ask("POST", SERVERS, body=_given(new)))

    async def patch_server(self, server_id: UUID, patch: ServerPatch) -> EditedServer:
        """Change the fields that are given."""
        return self._api.read(EditedServer, await self._patch(f"{SERVERS}/{server_id}", patch))

    async def credential(self, _server_id: UUID, _url: str) -> None:
        """Return None, whatever the server has: an API does not give credentials away."""

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
            raise FleetError(f"The API does not tell whether it is ready: it answered {reply.status.value}.")
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
