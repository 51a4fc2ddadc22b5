"""The registry's use cases, the same for REST and the command line: decided here, stored by `queries`.

Whatever cannot be done raises a `Refused`, and then nothing was written.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Self, TypeAlias
from uuid import UUID, uuid4

from api.fleet import credentials, cursors, edits, refusals, texts, views
from api.fleet.access.scopes import LOCAL
from api.fleet.event_pages import EventPages
from api.fleet.filters import NO_FILTERS, ServerFilters
from api.fleet.history import Histories, HistoryView
from api.fleet.on_demand import OnDemand
from api.fleet.queries import models, requests
from api.fleet.queries.requests import Demand
from api.fleet.queries.servers import Servers
from api.fleet.queries.transactions import Attempts, TakenError
from api.fleet.readiness import Readiness
from api.fleet.schemas import ModelPatch, ServerCreate, ServerPatch, ServerReplace
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
from api.fleet.wakeup import Wakeup
from monitor.credentials.vault import Vault
from monitor.domain import model_name as model_names
from monitor.domain import url as base_url
from monitor.domain.credential import ClientKey, Credential, Unreadable
from monitor.domain.errors import InvalidUrlError
from monitor.domain.event import EventType
from monitor.domain.probe import Reason
from monitor.domain.uptime import Window
from monitor.postgres import credential_store
from monitor.postgres.database import Connection, Database, Row, Values
from monitor.settings import Settings

Decide: TypeAlias = Callable[[Row], Values]


class Registry:
    """Servers, their models and events, on an open database."""

    def __init__(
        self, database: Database, settings: Settings, *, wakeup: Wakeup | None = None, vault: Vault | None = None
    ) -> None:
        """Without a running `wakeup`, a wait for events ends only when its time is over."""
        self._database = database
        self._vault = vault or Vault.of(settings)
        self._actor = LOCAL
        self._policy = settings.policy
        self._allowed_networks = settings.allowed_networks
        self._readiness = Readiness(database, wakeup)
        self.histories = Histories(database, settings.policy)
        wakeup = wakeup or Wakeup(database)
        self._on_demand = OnDemand(database, settings.policy, wakeup)
        self._event_pages = EventPages(database, wakeup)

    def acting_as(self, actor: str) -> Self:
        """Return the same registry, with another name for who makes the changes."""
        signed = copy(self)
        signed._actor = actor
        return signed

    async def list_servers(
        self, filters: ServerFilters = NO_FILTERS, *, limit: int = 100, cursor: str | None = None
    ) -> ServerPage:
        """Return at most `limit` servers by name, going on from the `next_cursor` of a page before."""
        after = None if cursor is None else cursors.read(cursor)
        async with self._database.session() as connection:
            rows = await Servers(connection, self._policy).page(
                is_active=filters.is_active,
                is_available=filters.is_available,
                statuses=[status.value for status in filters.status],
                capabilities=filters.capability,
                labels=[{key: value} for key, value in filters.label],
                after=after,
                limit=limit + 1,
                server_id=filters.id,
                server_name=filters.name,
                url=filters.url,
            )
        items = [views.server(row) for row in rows[:limit]]
        is_last = len(rows) <= limit
        return ServerPage(items=items, next_cursor=None if is_last else cursors.write(items[-1].name, items[-1].id))

    async def get_server(self, server_id: UUID) -> ServerView:
        """Return one server."""
        async with self._database.session() as connection:
            row = await Servers(connection, self._policy).get(server_id)
        return views.server(edits.require(row, server_id, if_match=None))

    async def find_server(self, reference: str) -> ServerView:
        """Return the server with this name, id or URL, looked for in this order."""
        async with self._database.session() as connection:
            row = await _find(Servers(connection, self._policy), reference)
        if row is None:
            raise edits.server_not_found(reference)
        return views.server(row)

    async def credential(self, server_id: UUID, url: str) -> Credential | Unreadable | None:
        """Return the credential of a server in the clear, for whoever is to send it to a URL; None where it has none.

        One that was sealed for another origin does not open: who asks may know the server as it was before an edit.
        """
        async with self._database.session() as connection:
            sealed = await credential_store.read(connection, server_id)
        if sealed is None:
            raise edits.server_not_found(server_id)
        return self._vault.open(replace(sealed, url=url))

    async def client_key(self, server_id: UUID) -> ClientKey | Unreadable | None:
        """Return the key of a server's client certificate in the clear; None where it has none."""
        async with self._database.session() as connection:
            sealed = await credential_store.read_client_key(connection, server_id)
        return self._vault.open_client_key(sealed)

    async def create_server(self, new: ServerCreate) -> ServerView:
        """Add a server. As the default it takes the mark from the one that had it.

        With something to say of what was given it is an `EditedServer`.
        """
        edits.require_allowed_address(new.url, self._allowed_networks)
        server_id = uuid4()
        async with self._naming_the_taker(new.name, new.url):
            async for attempt in Attempts(self._database, actor=self._actor):
                async with attempt as connection:
                    await self._prepare_sealing(connection, new)
                    servers = Servers(connection, self._policy)
                    values = edits.created(new, seal=self._seal_of(server_id))
                    await servers.insert(server_id, values)
                    row = await servers.get(server_id)
        after = views.server(edits.require(row, server_id, if_match=None))
        found = edits.notices(None, new, values=values, at=datetime.now(UTC))
        return views.edited(after, found) if found else after

    async def replace_server(self, server_id: UUID, new: ServerReplace, *, if_match: int | None = None) -> EditedServer:
        """Put a whole server in the place of another; `if_match` is the row version it must be at."""
        decide = partial(edits.replaced, new=new, seal=self._seal_of(server_id))
        return await self._edit(server_id, decide, new, if_match=if_match)

    async def patch_server(self, server_id: UUID, patch: ServerPatch, *, if_match: int | None = None) -> EditedServer:
        """Change the fields that are given; `if_match` is the row version the server must be at."""
        decide = partial(edits.patched, patch=patch, seal=self._seal_of(server_id))
        return await self._edit(server_id, decide, patch, if_match=if_match)

    async def delete_server(self, server_id: UUID, *, if_match: int | None = None) -> None:
        """Delete a server and its models; `if_match` is the row version it must be at."""
        async for attempt in Attempts(self._database, actor=self._actor):
            async with attempt as connection:
                servers = Servers(connection, self._policy)
                edits.require(await servers.lock(server_id), server_id, if_match=if_match)
                await servers.delete(server_id)

    async def list_models(self, server_id: UUID, *, include_removed: bool = False) -> ModelPage:
        """Return the models of a server by name; `include_removed` adds those it does not list any more."""
        async with self._database.session() as connection:
            rows = await models.of_server(connection, server_id, removed_too=include_removed)
            if not rows and not await requests.exists(connection, server_id):
                raise edits.server_not_found(server_id)
        return ModelPage(items=[views.model(row) for row in rows])

    async def all_models(self, *, include_removed: bool = False) -> ModelPage:
        """Return the models of all servers, by model name and then server name."""
        async with self._database.session() as connection:
            rows = await models.everywhere(connection, removed_too=include_removed)
        return ModelPage(items=[views.model(row) for row in rows])

    async def patch_model(self, server_id: UUID, model_name: str, patch: ModelPatch) -> ModelView:
        """Note what the operator says of a model; `llama3` means `llama3:latest`, and case does not count."""
        key = model_names.key(model_name)
        async with self._database.session() as connection:
            names = await models.names(connection, server_id)
            if not names and not await requests.exists(connection, server_id):
                raise edits.server_not_found(server_id)
        model_id = next((row["id"] for row in names if model_names.key(row["model_name"]) == key), None)
        if model_id is None:
            raise edits.model_not_found(model_name)
        async for attempt in Attempts(self._database, actor=self._actor):
            async with attempt as connection:
                row = await models.edit(connection, model_id, given=frozenset(patch.model_fields_set), **dict(patch))
        if row is None:
            raise edits.model_not_found(model_name)
        return views.model(row)

    async def request_check(self, server_id: UUID) -> CheckAnswer:
        """Have the monitor check a server now, and return its verdict."""
        probe = await self._on_demand.request(Demand.CHECK, server_id)
        return CheckAnswer(server=await self.get_server(server_id), probe=views.ProbeView.model_validate(probe))

    async def request_discovery(self, server_id: UUID) -> DiscoveryAnswer:
        """Have the monitor list a server's models now, and return what that changed."""
        result = await self._on_demand.request(Demand.DISCOVERY, server_id)
        answer = DiscoveryAnswer.model_validate(result)
        if answer.reason != Reason.OK:
            raise refusals.discovery_failed(answer.reason, answer.detail)
        return answer

    async def history(self, server_id: UUID, *, window: Window) -> HistoryView:
        """Return what a server was like."""
        return await self.histories.of_server(server_id, window=window)

    async def readiness(self, *, names_database: bool = True) -> ReadinessReport:
        """Return whether database, schema and monitor are well, with a reason for each that is not."""
        return await self._readiness.report(names_database=names_database)

    async def events(
        self,
        after: int | None = None,
        *,
        limit: int = 100,
        wait: float = 0.0,
        types: Sequence[EventType] = (),
        server_id: UUID | None = None,
    ) -> EventPage:
        """Return events after a number, None for the oldest held, waiting at most `wait` seconds for the first."""
        return await self._event_pages.read(after, limit=limit, wait=wait, types=types, server_id=server_id)

    async def _edit(
        self, server_id: UUID, decide: Decide, wanted: ServerCreate | ServerPatch, *, if_match: int | None
    ) -> EditedServer:
        edits.require_allowed_address(wanted.url, self._allowed_networks)
        async with self._naming_the_taker(wanted.name, wanted.url):
            async for attempt in Attempts(self._database, actor=self._actor):
                async with attempt as connection:
                    await self._prepare_sealing(connection, wanted)
                    servers = Servers(connection, self._policy)
                    locked = await servers.lock(server_id, may_become_default=wanted.is_default is True)
                    current = edits.require(locked, server_id, if_match=if_match)
                    values = decide(current)
                    await servers.update(current, values)
                    row = await servers.get(server_id)
        after = views.server(edits.require(row, server_id, if_match=None))
        return views.edited(after, edits.notices(current, wanted, values=values, at=datetime.now(UTC)))

    async def _prepare_sealing(self, connection: Connection, wanted: ServerCreate | ServerPatch) -> None:
        if credentials.credential(wanted.auth) is not None or wanted.client_key is not None:
            await credential_store.prepare_sealing(connection, self._vault)

    def _seal_of(self, server_id: UUID) -> edits.Seal:
        return partial(self._vault.seal, server_id=server_id)

    @asynccontextmanager
    async def _naming_the_taker(self, name: str | None, server_url: str | None) -> AsyncIterator[None]:
        """Have the refusal of a name or URL that is taken say by which server."""
        try:
            yield
        except TakenError as error:
            value = name if error.field == "name" else server_url
            async with self._database.session() as connection:
                servers = Servers(connection, self._policy)
                taker = None if value is None else await servers.find_taker(error.field, value)
            raise edits.taken(error.field, value, taker) from error


async def _find(servers: Servers, reference: str) -> Row | None:
    """Return the row of the server that a text means."""
    if not texts.is_usable(reference):
        return None
    row = await servers.get(reference, by="name")
    if row is None and (server_id := _as_id(reference)) is not None:
        row = await servers.get(server_id)
    if row is None and (server_url := _as_url(reference)) is not None:
        row = await servers.get(server_url, by="url")
    return row


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _as_url(text: str) -> str | None:
    try:
        return base_url.normalize(text)
    except InvalidUrlError:
        return None
