"""The models that servers list, as the registry shows them, and what an operator says of one."""

from uuid import UUID

from api.fleet import edits, views
from api.fleet.queries import models, requests
from api.fleet.queries.transactions import Attempts
from api.fleet.schemas import ModelPatch
from api.fleet.views import ModelPage, ModelView
from monitor.domain import model_name as model_names
from monitor.postgres.database import Database


async def of_server(database: Database, server_id: UUID, *, include_removed: bool) -> ModelPage:
    """Return the models of a server by name; `include_removed` adds those it does not list any more."""
    async with database.session() as connection:
        rows = await models.of_server(connection, server_id, removed_too=include_removed)
        if not rows and not await requests.exists(connection, server_id):
            raise edits.server_not_found(server_id)
    return ModelPage(items=[views.model(row) for row in rows])


async def everywhere(database: Database, *, include_removed: bool) -> ModelPage:
    """Return the models of all servers, by model name and then server name."""
    async with database.session() as connection:
        rows = await models.everywhere(connection, removed_too=include_removed)
    return ModelPage(items=[views.model(row) for row in rows])


async def edit(database: Database, server_id: UUID, model_name: str, *, patch: ModelPatch, actor: str) -> ModelView:
    """Note what the operator says of a model; `llama3` means `llama3:latest`, and case does not count."""
    key = model_names.key(model_name)
    async with database.session() as connection:
        names = await models.names(connection, server_id)
        if not names and not await requests.exists(connection, server_id):
            raise edits.server_not_found(server_id)
    model_id = next((row["id"] for row in names if model_names.key(row["model_name"]) == key), None)
    if model_id is None:
        raise edits.model_not_found(model_name)
    async for attempt in Attempts(database, actor=actor):
        async with attempt as connection:
            row = await models.edit(connection, model_id, given=frozenset(patch.model_fields_set), **dict(patch))
    if row is None:
        raise edits.model_not_found(model_name)
    return views.model(row)
